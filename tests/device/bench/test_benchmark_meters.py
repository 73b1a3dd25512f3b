"""What is read about a worker from outside: cores, perf, energy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from needs import Need, skip, unless

from device.bench import machine
from device.bench.meters import Cores, Counters, Energy, parsed
from device.power.sensors import PowerError, Reading

STAT = "cpu  0 0 0 0\ncpu0 {} 0 0 {} 0 0 0 0 0 0\ncpu1 {} 0 0 {} 0 0 0 0 0 0\nintr 1\n"


def test_cores_are_as_busy_as_their_ticks(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(STAT.format(100, 100, 50, 0))
    cores = Cores(stat)
    assert cores.busy() == (0.0, 0.0)
    stat.write_text(STAT.format(125, 175, 60, 0))
    assert cores.busy() == (0.25, 1.0)


@unless(shutil.which("perf"), Need.KERNEL, "perf, which is built for each kernel")
def test_perf_counts_only_what_is_asked_for() -> None:
    """With perf itself, on an event that needs no hardware counter: the process works on after the block."""
    counters = Counters.found(("task-clock",))
    if counters.missing:
        skip(Need.KERNEL, counters.missing)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with counters.counting(busy.pid) as counts:
            time.sleep(0.3)
        time.sleep(0.3)
    finally:
        busy.kill()
        busy.wait()
    assert 0 < counts["task-clock"] < 500


def test_a_machine_without_perf_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    counters = Counters.found()
    assert "not installed" in counters.missing
    with counters.counting(os.getpid()) as counts:
        pass
    assert counts == {}


def test_events_that_perf_did_not_count_are_left_out() -> None:
    assert parsed("# started\n\n5,,cache-misses,1,100,,\n<not counted>,,cycles,0,0,,\n1.5,msec,task-clock,1,1,,") == {
        "cache-misses": 5.0
    }


def rapl(folder: Path, microjoules: int) -> Path:
    package = folder / "intel-rapl:0"
    package.mkdir(parents=True, exist_ok=True)
    (package / "energy_uj").write_text(f"{microjoules}\n")
    (package / "max_energy_range_uj").write_text("10000000\n")
    return folder


def test_rapl_is_read_before_and_after_and_may_wrap(tmp_path: Path) -> None:
    energy = Energy.found(rapl(tmp_path, 9_000_000), find=lambda: None)
    assert "RAPL" in energy.name and not energy.missing
    with energy.counting() as joules:
        rapl(tmp_path, 1_500_000)
    assert joules.value == pytest.approx(2.5)


class Meter:
    """Measures 3 W, and fails every other time."""

    name = "a meter"
    calls = 0

    def read(self) -> Reading:
        self.calls += 1
        if self.calls % 2:
            raise PowerError("not now")
        return Reading(watts=3.0)


def test_a_meter_is_preferred_and_sampled(tmp_path: Path) -> None:
    energy = Energy.found(rapl(tmp_path, 0), find=Meter)
    assert "a meter" in energy.name
    began = time.monotonic()
    with energy.counting() as joules:
        while not joules.watts:
            time.sleep(0.01)
        inside = time.monotonic() - began
    assert joules.value is not None
    assert 3.0 * inside <= joules.value <= 3.0 * (time.monotonic() - began)


def test_without_a_meter_nothing_is_made_up(tmp_path: Path) -> None:
    energy = Energy.found(tmp_path, find=lambda: None)
    assert "no power meter" in energy.missing
    with energy.counting() as joules:
        pass
    assert joules.value is None


def test_the_machine_is_described(tmp_path: Path) -> None:
    proc, sys_ = tmp_path / "proc", tmp_path / "sys"
    (sys_ / "firmware/devicetree/base").mkdir(parents=True)
    (sys_ / "firmware/devicetree/base/model").write_text("Raspberry Pi 4 Model B Rev 1.5\0")
    for number, governor in enumerate(("ondemand", "performance")):
        policy = sys_ / f"devices/system/cpu/cpufreq/policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_governor").write_text(f"{governor}\n")
    proc.mkdir()
    (proc / "cpuinfo").write_text("model name\t: ignored\nflags\t\t: fpu hypervisor sse\n")
    (proc / "meminfo").write_text("MemTotal:        2048000 kB\n")
    found = machine.describe(proc, sys_)
    assert found.model == "Raspberry Pi 4 Model B Rev 1.5" and found.governor == "ondemand, performance"
    assert found.virtual and found.memory_mb == 2_000
    assert machine.describe(tmp_path, tmp_path).governor == "none to be seen"
    here = machine.describe()
    assert here.libraries["numpy"] and here.scheduling.split()[1].lstrip("-").isdigit()
