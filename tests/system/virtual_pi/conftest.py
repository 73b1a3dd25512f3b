"""The card that the image tests boot, built once, and the bench that it is booted on.

$DICTATE_TEST_IMAGE names an image that is built already (--without-coral, the configuration of `Wiring`, the key of
$DICTATE_TEST_KEY); otherwise provisioning/build-image makes one. Logs are in .cache/virtual-pi/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import Bench
from needs import Need, skip

from provisioning.emulator import preflight
from provisioning.emulator.card import Card
from provisioning.emulator.pi import Wiring
from provisioning.emulator.report import Steps

ROOT = Path(__file__).resolve().parents[3]
WORK = ROOT / ".cache" / "virtual-pi"


def say(line: str) -> None:
    """Past pytest's capture: a quarter of an hour of silence is no progress."""
    print(f"image: {line}", file=sys.__stderr__, flush=True)


def skip_if_late() -> None:
    """$DICTATE_UNTIL, in seconds since 1970, is when continuous integration has no time to begin another step."""
    until = os.environ.get("DICTATE_UNTIL")
    if until and time.time() > float(until):
        skip(Need.EARLIER, "the time limit of this run is near; `make test-image` has none")


@pytest.fixture(scope="session")
def steps() -> Iterator[Steps]:
    steps = Steps(say)
    yield steps
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "timings.md").write_text(steps.table() + "\n")


@pytest.fixture(scope="session")
def work() -> Path:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    return WORK


@pytest.fixture(scope="session")
def key(work: Path) -> Path:
    """A signing key for updates, for these tests only."""
    if given := os.environ.get("DICTATE_TEST_KEY"):
        return Path(given)
    made = work / "update-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made], check=True)
    return made


@pytest.fixture(scope="session")
def image(work: Path, key: Path, steps: Steps) -> Card:
    skip_if_late()
    if lacking := preflight.install():
        pytest.fail(f"no virtual Pi here: {lacking}")
    if given := os.environ.get("DICTATE_TEST_IMAGE"):
        return Card.of(Path(given))
    if refused := preflight.building_refused():
        skip(Need.KERNEL, f"no image can be built here: {refused}")
    config = work / "dictation.toml"
    config.write_text(Wiring().config())
    with steps.step("image built"):
        subprocess.run(
            [sys.executable, ROOT / "provisioning" / "build-image", "--without-coral", "--config", config,
             "--update-key", f"{key}.pub", "--out", work / "card.img"],
            check=True, stdin=subprocess.DEVNULL, stdout=sys.__stderr__, stderr=sys.__stderr__,
        )  # fmt: skip
        image = Card.of(work / "card.img")
        steps.remark(f"{image.image.stat().st_size / 2**20:.0f} MiB")
    return image


@pytest.fixture(scope="session")
def bench(image: Card, work: Path, steps: Steps) -> Iterator[Bench]:
    bench = Bench(image, work, steps)
    yield bench
    bench.power_off()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """After a failure: where the board's words are, and no further steps of a life that went wrong."""
    report = yield
    bench = getattr(item, "funcargs", {}).get("bench")
    if report.failed and isinstance(bench, Bench):
        report.sections.append(("virtual Pi", bench.last_words()))
        bench.failed = item.name
    return report


@pytest.fixture(autouse=True)
def nothing_failed_before(bench: Bench) -> None:
    skip_if_late()
    if bench.failed:
        skip(Need.EARLIER, f"{bench.failed} failed, and this step goes on from there")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if (WORK / "timings.md").exists() and terminalreporter.stats.get("passed"):
        terminalreporter.section("virtual Pi: times of an emulated board, not of a Raspberry Pi")
        terminalreporter.write((WORK / "timings.md").read_text())
