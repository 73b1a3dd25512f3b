"""What cores, priority and clock are worth on this machine: the same work with and without each.

>>> rows = compare(lambda: sum(range(1_000)), config.Realtime(enabled=False), repeats=20)
>>> [row.name for row in rows]
['as it is']
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from device import config
from device.realtime import GovernorError, fifo, governor_from, pinned

ROUNDS = 3
"""Every setting is measured this often, in turn, so that a warm-up or a busy moment does not favour one."""


@dataclass(frozen=True, slots=True)
class Row:
    """Times of one piece of work under one setting."""

    name: str
    milliseconds: Sequence[float]
    refused: str = ""
    """Why the setting could not be tried; then there are no times."""

    def percentile(self, share: float) -> float:
        """The time that `share` of the repeats stay within, in ms."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def compare(work: Callable[[], object], settings: config.Realtime, repeats: int = 100) -> list[Row]:
    """Time `work` plainly, pinned, with the governor raised, and with both; each `repeats` times in three turns.

    Settings that are not enabled, or that this machine refuses, are left out or say why.
    """
    variants = list(_variants(settings))
    times: dict[str, list[float]] = {name: [] for name, _ in variants}
    refused: dict[str, str] = {}
    for _ in range(ROUNDS):
        for name, setting in variants:
            if name in refused:
                continue
            with setting() as problem:
                if problem:
                    refused[name] = problem
                    continue
                times[name] += [_milliseconds(work) for _ in range(max(1, repeats // ROUNDS))]
    return [Row(name, times[name], refused.get(name, "")) for name, _ in variants]


def wake_ups(settings: config.Realtime, seconds: float = 5.0, period: float = 0.01) -> list[Row]:
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
        rows.append(Row(name, late, problems[0] if problems else ""))
    return rows


def table(rows: Sequence[Row]) -> str:
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


Setting = Callable[[], contextlib.AbstractContextManager[str]]


def _variants(settings: config.Realtime) -> Iterator[tuple[str, Setting]]:
    @contextlib.contextmanager
    def plain() -> Iterator[str]:
        yield ""

    @contextlib.contextmanager
    def raised() -> Iterator[str]:
        governor = governor_from(settings)
        try:
            governor.raise_()
        except GovernorError as error:
            yield str(error)
            return
        try:
            yield ""
        finally:
            governor.restore()

    def on_cores() -> contextlib.AbstractContextManager[str]:
        return pinned({*settings.encoder_cpus, *settings.decoder_cpus})

    @contextlib.contextmanager
    def both() -> Iterator[str]:
        with on_cores() as refused_cores, raised() as refused_governor:
            yield refused_cores or refused_governor

    yield "as it is", plain
    if settings.enabled:
        yield "pinned", on_cores
        if settings.governor:
            yield f"governor {settings.governor}", raised
            yield f"pinned, {settings.governor}", both


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begun)


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
