"""Stages are kept by what they were made from, and never in part."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from convert.cache import PART, Cache
from convert.progress import Display
from convert.stages import Stages

ROOT = Path(__file__).parents[2]


def put(text: str) -> object:
    return lambda out: Path(out, "text").write_text(text)


def test_kept_until_an_input_changes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    cache, made = Cache(tmp_path / "cache"), []

    def make(out: Path) -> None:
        made.append(source.read_text())
        (out / "text").write_text(source.read_text())

    inputs = {"source": source, "setting": 1}
    first = cache.get("stage", inputs, make)
    assert cache.get("stage", inputs, make) == first
    source.write_text("two")
    assert not cache.has("stage", inputs)
    assert (cache.get("stage", inputs, make) / "text").read_text() == "two"
    cache.get("stage", {**inputs, "setting": 2}, make)
    source.write_text("one")
    assert cache.get("stage", inputs, make) == first
    assert made == ["one", "two", "two"]


def test_a_failed_stage_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(out: Path) -> None:
        (out / "half").write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        cache.get("stage", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_swept_and_what_a_live_one_does_is_not(tmp_path: Path) -> None:
    dead, alive = tmp_path / f"{PART}999999999-stage", tmp_path / f"{PART}{os.getppid()}-stage"
    for part in (dead, alive):
        part.mkdir()
    Cache(tmp_path).get("stage", {}, put("x"))  # type: ignore[arg-type]
    assert not dead.exists()
    assert alive.exists()


def test_only_the_newest_results_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    places = [cache.get("stage", {"n": n}, put(str(n))) for n in range(9)]  # type: ignore[arg-type]
    left = set(tmp_path.iterdir())
    assert places[-1] in left
    assert 1 < len(left) < 9


MAKE = """
import sys
from pathlib import Path
from convert.cache import Cache
def make(out):
    print("making", flush=True)
    failed = sys.stdin.readline() == "fail\\n"
    (out / "text").write_text("half" if failed else "whole")
    if failed:
        sys.exit(1)
place = Cache(Path(sys.argv[1])).get("stage", {"n": 1}, make, lambda: print("waiting", flush=True))
print((place / "text").read_text(), flush=True)
"""


def test_a_build_that_waits_says_for_what(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made: list[Path] = []

    def build(make: Callable[[Path], object]) -> None:
        stages = Stages(Cache(tmp_path), Display(Console(quiet=True)))
        made.append(stages.run("greet", ["convert.errors"], {}, make))

    second = threading.Thread(target=build, args=(lambda out: 1 / 0,))

    def make_slowly(out: Path) -> None:
        second.start()
        while "build: another build is making greet; waiting for it" not in capfd.readouterr().err:
            second.join(0.01)
            assert second.is_alive()

    build(make_slowly)
    second.join()
    assert len(made) == 2 and made[0] == made[1]


def child(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("order", "first_says", "second_says"), [("go\n", "whole\n", "whole\n"),
                                                                 ("fail\n", "", "making\nwhole\n")])  # fmt: skip
def test_what_another_process_is_making_is_waited_for_and_made_once(
    tmp_path: Path, order: str, first_says: str, second_says: str
) -> None:
    command = [sys.executable, "-c", MAKE, str(tmp_path)]
    first = child(command)
    second = None
    try:
        assert first.stdout and first.stdout.readline() == "making\n"
        second = child(command)
        assert second.stdout and second.stdout.readline() == "waiting\n"
        assert first.communicate(order, timeout=60)[0] == first_says
        assert second.communicate("go\n", timeout=60)[0] == second_says
        assert len([*tmp_path.iterdir()]) == 1
    finally:
        for process in (first, second):
            if process:
                process.kill()
