"""What priority is worth to capture on this machine: how late a busy one wakes a thread, with and without.

`dictate bench --realtime` measures what cores, priority and clock are worth to the recogniser.

>>> print(table([WakeUpRow("as it is", [1.0, 1.0, 3.0])]))
setting                         p50 ms    p95 ms    p99 ms  saved ms
as it is                          1.00      3.00      3.00      0.00
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from device.config import schema
from device.system.scheduling import fifo


@dataclass(frozen=True, slots=True)
class WakeUpRow:
    """Times of one piece of work under one setting."""

    name: str
    milliseconds: Sequence[float]
    refused: str = ""
    """Why the setting could not be tried; then there are no times."""

    def percentile(self, share: float) -> float:
        """The time that `share` of the repeats stay within, in ms."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def wake_ups(settings: schema.RealtimeSettings, seconds: float = 5.0, period: float = 0.01) -> list[WakeUpRow]:
    """How late a thread wakes that sleeps for `period`, on busy cores: plainly, and at the capture priority.

    That is what SCHED_FIFO is worth to capture: a block that is fetched late may be lost.
    """
    rows = []
    for name, priority in (("capture as it is", 0), ("capture at SCHED_FIFO", settings.capture_priority)):
        late: list[float] = []
        problems: list[str] = []
        with _busy_cores():
            sleeper = Thread(target=_sleep_and_note, args=(priority, seconds, period, late, problems))
            sleeper.start()
            sleeper.join()
        rows.append(WakeUpRow(name, late, problems[0] if problems else ""))
    return rows


def table(rows: Sequence[WakeUpRow]) -> str:
    """`rows` as text: p50, p95, p99 in ms, and how much less p50 is than in the first row."""
    lines = [f"{'setting':<28} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'saved ms':>9}"]
    for row in rows:
        if row.refused:
            lines.append(f"{row.name:<28} {row.refused}")
            continue
        p50, p95, p99 = (row.percentile(share) for share in (0.50, 0.95, 0.99))
        saved = rows[0].percentile(0.50) - p50
        lines.append(f"{row.name:<28} {p50:>9.2f} {p95:>9.2f} {p99:>9.2f} {saved:>9.2f}")
    return "\n".join(lines)


def _sleep_and_note(priority: int, seconds: float, period: float, late: list[float], problems: list[str]) -> None:
    if problem := fifo(priority):
        problems.append(problem)
        return
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        time.sleep(period)
        late.append(1e3 * (time.perf_counter() - begun - period))


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    """Keep every core busy with processes of ordinary priority."""
    stop = Event()
    children = [_spinner() for _ in range(len(os.sched_getaffinity(0)))]
    try:
        yield
    finally:
        stop.set()
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


def _spinner() -> int:
    child = os.fork()
    if child == 0:
        while True:
            pass
    return child
