"""What is read about a worker from outside while it listens: cores, hardware counters, energy.

Each meter says in one line why it cannot measure on this machine, where it cannot; nothing is estimated.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from device.power import sensors

EVENTS = ("instructions", "cycles", "cache-references", "cache-misses")
"""Events of `perf stat`."""

RAPL = Path("/sys/class/powercap")
SAMPLE_S = 0.2


class Cores:
    """Busy share of each core between two readings of /proc/stat (proc(5))."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat, self._before = stat, self._read(stat)

    def busy(self) -> tuple[float, ...]:
        """Since this object was made."""
        shares = []
        for (busy, total), (busy_before, total_before) in zip(self._read(self._stat), self._before, strict=False):
            spent = total - total_before
            shares.append(round((busy - busy_before) / spent, 4) if spent else 0.0)
        return tuple(shares)

    @staticmethod
    def _read(stat: Path) -> list[tuple[int, int]]:
        rows = []
        for line in stat.read_text().splitlines():
            if line.startswith("cpu") and line[3].isdigit():
                ticks = [int(field) for field in line.split()[1:9]]
                rows.append((sum(ticks) - ticks[3] - ticks[4], sum(ticks)))
        return rows


@dataclass
class Counters:
    """Hardware events of one process, by `perf stat` (Linux, tools/perf/Documentation/perf-stat.txt)."""

    missing: str = ""
    events: Sequence[str] = EVENTS

    @classmethod
    def found(cls, events: Sequence[str] = EVENTS) -> Counters:
        """Tries perf on a program that does nothing."""
        command = ["perf", "stat", "-x,", "-e", ",".join(events), "--", "true"]
        try:
            tried = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except FileNotFoundError:
            return cls("perf is not installed; apt install linux-perf")
        except subprocess.TimeoutExpired:
            return cls("perf does not answer")
        if parsed(tried.stderr, events):
            return cls("", events)
        if "not supported" in tried.stderr:
            return cls("this machine's processor shows no counters (a virtual machine often hides them)")
        said = next((line for line in tried.stderr.splitlines() if line.strip()), "perf said nothing")
        return cls(f"perf is refused: {said[:120]}; sysctl kernel.perf_event_paranoid=1")

    @contextlib.contextmanager
    def counting(self, process: int) -> Iterator[dict[str, float]]:
        """What is yielded has the counts of `process` and its threads once the block is over."""
        counts: dict[str, float] = {}
        if self.missing:
            yield counts
            return
        with tempfile.TemporaryDirectory(prefix="dictate-bench-") as folder:
            control, answer, out = (Path(folder, name) for name in ("control", "answer", "out"))
            os.mkfifo(control)
            os.mkfifo(answer)
            command = [
                "perf",
                "stat",
                "-x,",
                "-e",
                ",".join(self.events),
                "-p",
                str(process),
                "-o",
                str(out),
                "-D",
                "-1",
                "--control",
                f"fifo:{control},{answer}",
            ]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                with os.fdopen(os.open(control, os.O_RDWR), "w") as ask, os.fdopen(os.open(answer, os.O_RDWR)) as hear:
                    print("enable", file=ask, flush=True)
                    hear.readline()
                    yield counts
                    print("disable", file=ask, flush=True)
                    hear.readline()
            finally:
                child.send_signal(signal.SIGINT)  # at another, perf ends without a word
                child.wait()
            counts |= parsed(out.read_text(), self.events)


def parsed(text: str, events: Sequence[str] = EVENTS) -> dict[str, float]:
    """Counts in what `perf stat -x,` writes; events that were not counted are left out.

    >>> parsed("12345,,instructions:u,100,100.00,,\\n<not supported>,,cycles,0,100.00,,")
    {'instructions': 12345.0}
    """
    found = {}
    for line in text.splitlines():
        count, _, name = (*line.split(",")[:3], "", "", "")[:3]
        name = name.partition(":")[0]
        if name in events and count.replace(".", "", 1).isdigit():
            found[name] = float(count)
    return found


@dataclass
class Energy:
    """Joules that the machine, or its processor's package, takes while something runs."""

    name: str = ""
    missing: str = ""
    _packages: tuple[Path, ...] = ()
    _meter: sensors.Meter | None = None

    @classmethod
    def found(
        cls, rapl: Path = RAPL, find: Callable[[], sensors.Meter | None] = lambda: sensors.find_meter("auto")
    ) -> Energy:
        """A power meter of the appliance (device/power/sensors.py), else RAPL
        (Documentation/power/powercap/powercap.rst).
        """
        meter = find()
        if meter is not None:
            return cls(f"{meter.name}: the whole machine", _meter=meter)
        packages = tuple(sorted(rapl.glob("intel-rapl:?")))
        if not packages:
            return cls(missing="no power meter, and no RAPL in /sys/class/powercap")
        try:
            for package in packages:
                _microjoules(package)
        except OSError as error:
            return cls(missing=f"{error.filename}: {error.strerror}; run as root")
        return cls("RAPL: the processor's package, without memory, disk, USB and screen", _packages=packages)

    @contextlib.contextmanager
    def counting(self) -> Iterator[Joules]:
        """What is yielded has the joules once the block is over."""
        joules = Joules()
        if self._meter is not None:
            with _sampled(self._meter, joules):
                yield joules
        elif self._packages:
            before = [_microjoules(package) for package in self._packages]
            yield joules
            joules.value = sum(_spent(*pair) for pair in zip(self._packages, before, strict=True)) / 1e6
        else:
            yield joules


@dataclass
class Joules:
    """Energy; None where it is not measured."""

    value: float | None = None
    watts: list[float] = field(default_factory=list)


@contextlib.contextmanager
def _sampled(meter: sensors.Meter, joules: Joules) -> Iterator[None]:
    over, began = Event(), time.monotonic()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            with contextlib.suppress(sensors.PowerError):
                watts = meter.read().watts
                if watts is not None:
                    joules.watts.append(watts)

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if joules.watts:
        joules.value = sum(joules.watts) / len(joules.watts) * (time.monotonic() - began)


def _microjoules(package: Path) -> int:
    return int((package / "energy_uj").read_text())


def _spent(package: Path, before: int) -> int:
    """Microjoules since `before`; the counter begins again at its greatest value."""
    spent = _microjoules(package) - before
    return spent if spent >= 0 else spent + int((package / "max_energy_range_uj").read_text())
