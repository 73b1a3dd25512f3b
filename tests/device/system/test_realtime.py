"""Cores and priorities of real threads; governors in a directory laid out as cpufreq's."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from device.cli import realtime
from device.system.scheduling import Governor, GovernorError, fifo, pin, pinned


@pytest.fixture
def cpufreq(tmp_path: Path) -> Path:
    for policy, governor in (("policy0", "ondemand"), ("policy4", "schedutil")):
        folder = tmp_path / "cpufreq" / policy
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
        (folder / "scaling_available_governors").write_text("ondemand schedutil performance \n")
    return tmp_path / "cpufreq"


def governors(cpufreq: Path) -> list[str]:
    return [file.read_text().strip() for file in sorted(cpufreq.glob("*/scaling_governor"))]


def test_the_governor_is_raised_and_put_back(cpufreq: Path, tmp_path: Path) -> None:
    governor = Governor("performance", cpufreq, tmp_path / "run" / "governor.json")
    for _ in range(2):
        governor.raise_()
        governor.raise_()
        assert governors(cpufreq) == ["performance", "performance"]
        governor.restore()
        governor.restore()
        assert governors(cpufreq) == ["ondemand", "schedutil"]
    assert not (tmp_path / "run" / "governor.json").exists()


def test_the_governor_is_put_back_after_a_kill(cpufreq: Path, tmp_path: Path) -> None:
    state = tmp_path / "governor.json"
    code = (
        "import sys, time; from pathlib import Path; from device.system.scheduling import Governor\n"
        "Governor('performance', Path(sys.argv[1]), Path(sys.argv[2])).raise_()\n"
        "print('raised', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, cpufreq, state], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"raised\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert governors(cpufreq) == ["performance", "performance"]
    assert run("restore", cpufreq, state) == 0
    assert governors(cpufreq) == ["ondemand", "schedutil"]
    assert run("restore", cpufreq, state) == 0


def test_a_machine_without_governors_is_named(tmp_path: Path) -> None:
    with pytest.raises(GovernorError, match="no clock governor"):
        Governor("performance", tmp_path, tmp_path / "state.json").raise_()


def test_a_governor_that_cannot_be_remembered_is_not_changed(cpufreq: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, not a folder")
    with pytest.raises(GovernorError, match="could not be restored"):
        Governor("performance", cpufreq, tmp_path / "run" / "governor.json").raise_()
    assert governors(cpufreq) == ["ondemand", "schedutil"]


def test_a_damaged_note_is_named_and_forgotten(cpufreq: Path, tmp_path: Path) -> None:
    state = tmp_path / "governor.json"
    state.write_text("{")
    governor = Governor("performance", cpufreq, state)
    with pytest.raises(GovernorError, match="cannot be read"):
        governor.restore()
    governor.restore()


def test_a_partly_writable_machine_is_left_as_it_was(cpufreq: Path, tmp_path: Path) -> None:
    blocked = cpufreq / "policy4" / "scaling_governor"
    blocked.unlink()
    blocked.mkdir()
    with pytest.raises(GovernorError):
        Governor("performance", cpufreq, tmp_path / "state.json").raise_()
    assert (cpufreq / "policy0" / "scaling_governor").read_text().strip() == "ondemand"


def test_no_governor_wanted_changes_nothing(cpufreq: Path, tmp_path: Path) -> None:
    with Governor("", cpufreq, tmp_path / "state.json").raised():
        assert governors(cpufreq) == ["ondemand", "schedutil"]


def in_thread(work: object) -> None:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    thread.join()


def test_pinning_holds_for_one_thread_and_its_children() -> None:
    before = os.sched_getaffinity(0)
    cpu = min(before)
    seen: list[set[int]] = []

    def work() -> None:
        with pinned([cpu]) as problem:
            assert problem == ""
            in_thread(lambda: seen.append(os.sched_getaffinity(0)))
        seen.append(os.sched_getaffinity(0))

    in_thread(work)
    assert seen == [{cpu}, before]
    assert os.sched_getaffinity(0) == before


def test_a_core_that_is_not_there_is_named() -> None:
    with pinned([1_000]) as problem:
        assert "CPU 1000" in problem and "realtime.encoder_cpus" in problem
    assert pin([]) == ""


def test_fifo_holds_for_one_thread_or_says_why_not() -> None:
    found: list[tuple[str, int, int]] = []

    def work() -> None:
        problem = fifo(5)
        policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        found.append((problem, policy, os.sched_getparam(0).sched_priority))

    in_thread(work)
    problem, policy, priority = found[0]
    if problem:
        assert "LimitRTPRIO=5" in problem and policy == os.SCHED_OTHER
    else:
        assert (policy, priority) == (os.SCHED_FIFO, 5)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_fifo_refused_is_named() -> None:
    code = (
        "import os, resource; from device.system.scheduling import fifo\n"
        "resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))\n"
        "if not os.getuid(): os.setuid(65534)\n"
        "print(fifo(5))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "not permitted" in result.stdout and "LimitRTPRIO=5" in result.stdout


def run(command: str, cpufreq: Path, state: Path) -> int:
    parser = argparse.ArgumentParser()
    realtime.add_parser(parser.add_subparsers())
    options = ["--set", f"realtime.cpufreq={cpufreq}", "--set", f"realtime.governor_state={state}"]
    args = parser.parse_args(["realtime", command, *options])
    return int(args.run(args))


def test_check_says_what_is_refused(cpufreq: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", tmp_path / "none", tmp_path / "governor.json") == 1
    assert "no clock governor" in capsys.readouterr().out
    assert governors(cpufreq) == ["ondemand", "schedutil"]
