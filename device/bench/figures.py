"""Figures from measurements: percentiles, medians over repetitions, ratios to the baseline with their spread.

Ratios are taken within a repetition, where baseline and case ran within minutes of each other, and then summarised:
what drifts from one repetition to the next, as heat and other work do, cancels.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from device.bench.record import BenchReport, Listening, Measurement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of some times, in their unit."""

    p50: float
    p95: float
    p99: float
    max: float
    count: int


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """Percentiles, interpolated between neighbours (numpy's default); None of nothing.

    >>> percentiles(range(101))
    Percentiles(p50=50.0, p95=95.0, p99=99.0, max=100.0, count=101)
    """
    array = np.asarray(list(values), float)
    if not len(array):
        return None
    p50, p95, p99 = np.percentile(array, [50, 95, 99])
    return Percentiles(float(p50), float(p95), float(p99), float(array.max()), len(array))


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio over repetitions: its median, least and greatest."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{_short(self.median)} [{_short(self.least)}, {_short(self.greatest)}]"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def ratio(values: Mapping[int, float], baseline: Mapping[int, float]) -> Ratio | None:
    """`values` over `baseline`, both by repetition; None where they share none.

    >>> str(ratio({1: 2.0, 2: 6.0, 3: 3.0}, {1: 1.0, 2: 2.0, 4: 1.0}))
    '2.50 [2.00, 3.00]'
    """
    ratios = [values[r] / baseline[r] for r in sorted(values.keys() & baseline.keys()) if baseline[r] > 0]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def across(values: Sequence[float], baseline: Sequence[float]) -> Ratio | None:
    """The ratio of two sets of repetitions that were not run together: of their medians, and as far as they spread.

    >>> str(across([2.0, 3.0, 4.0], [1.0, 1.0, 2.0]))
    '3.00 [1.00, 4.00]'
    """
    if not values or not baseline or min(baseline) <= 0:
        return None
    median = statistics.median(values) / statistics.median(baseline)
    return Ratio(median, min(values) / max(baseline), max(values) / min(baseline))


def interleaved(items: Sequence[T], repetitions: int) -> list[list[T]]:
    """The order in which to measure: each repetition has every item once and begins elsewhere, so that each item is
    early in some and late in others.

    >>> interleaved("abcd", 2)
    [['a', 'b', 'c', 'd'], ['c', 'd', 'a', 'b']]
    """
    shifts = [round(r * len(items) / repetitions) for r in range(repetitions)]
    return [[*items[shift:], *items[:shift]] for shift in shifts]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that every measurement of a case has, less being better."""

    name: str
    unit: str
    of: Callable[[Measurement], float | None]


def _p50(listening: Listening | None) -> float | None:
    found = percentiles(late(listening))
    return 1e3 * found.p50 if found else None


def late(listening: Listening | None) -> list[float]:
    """Every chunk's latency, s."""
    return [seconds for u in (listening.utterances if listening else ()) for seconds in u.late]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _paced(measure: Callable[[Listening], float | None]) -> Callable[[Measurement], float | None]:
    return lambda m: measure(m.paced) if m.paced else None


METRICS = (
    Metric("latency p50, paced", "ms", lambda m: _p50(m.paced)),
    Metric("latency p50, full speed", "ms", lambda m: _p50(m.fast)),
    Metric("CPU, paced", "% of a core", _paced(lambda p: 100 * p.cpu_s / p.wall_s)),
    Metric("CPU s per s of speech", "s", lambda m: m.fast.cpu_s / m.fast.seconds),
    Metric("first partial", "s", _paced(lambda p: _median(u.first_partial for u in p.utterances))),
    Metric("end of speech to final text", "s", _paced(lambda p: _median(u.final for u in p.utterances))),
    Metric("peak memory", "MB", lambda m: m.peak_bytes / 1e6),
    Metric("cold start", "s", lambda m: m.cold_start_s),
    Metric("energy, paced", "W", _paced(lambda p: p.joules / p.wall_s if p.joules is not None else None)),
)


def by_repetition(report: BenchReport, case: str, metric: Metric) -> dict[int, float]:
    """Repetition → the metric of a case."""
    found = ((m.repetition, metric.of(m)) for m in report.of(case))
    return {repetition: value for repetition, value in found if value is not None}


def middle(report: BenchReport, case: str, metric: Metric) -> float | None:
    """Median of the metric over repetitions."""
    return _median(by_repetition(report, case, metric).values())


def named(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)


def pooled(
    report: BenchReport, case: str, pick: Callable[[Listening], Iterable[float]], fast: bool = False
) -> list[float]:
    """`pick` of every repetition, paced or at full speed."""
    listened = [m.fast if fast else m.paced for m in report.of(case)]
    return [value for listening in listened if listening for value in pick(listening)]
