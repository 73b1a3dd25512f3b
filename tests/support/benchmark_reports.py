"""Reports to try the benchmark's pages with: made up, and not measured by anything."""

from __future__ import annotations

from device.bench.record import (
    BatteryLife,
    BenchReport,
    CaseRow,
    Host,
    Listening,
    Measurement,
    Spoken,
    Utterance,
    WordErrors,
)

MACHINE = Host(
    "Test <board> & co",
    "aarch64",
    4,
    4,
    "ondemand",
    "nice 0",
    "6.1.0",
    False,
    2_000,
    "3.11.2",
    {"numpy": "1.26.4"},
    (0.5, 0.4, 0.3),
)


def listening(cost: float, streams: bool = True, joules: float | None = None) -> Listening:
    """Two utterances of a second, whose chunks take `cost` seconds, more towards the end."""
    late = tuple(cost * (1 + index / 10) for index in range(10)) if streams else ()
    utterance = Utterance(1.0, late, 0.5 + cost if streams else None, (1.0 + cost,) if streams else (), 3 * cost, "a b")
    counters = {"instructions": 1e9 * cost, "cache-misses": 1e6 * cost}
    return Listening((utterance, utterance), 2.0, 20 * cost, 30, 3, (), (0.5, 0.25), joules, counters)


def measurement(
    case: str, repetition: int, cost: float, streams: bool = True, joules: float | None = None
) -> Measurement:
    heard = listening(cost, streams, joules)
    return Measurement(case, repetition, 1.0 + cost, 30_000_000, 100_000_000, {"engine": "1.0"}, heard, heard)


def report(
    costs: dict[str, float], drift: tuple[float, ...] = (1.0, 1.5, 0.8), joules: float | None = None, **changes: object
) -> BenchReport:
    """Configurations by name with the seconds that a chunk takes; `drift` slows each repetition down."""
    rows = [
        CaseRow(name, "configurations", f"Engine <{name}>", name, "", WordErrors(0.1, 100, 10, 0, 0)) for name in costs
    ]
    rows.append(CaseRow("coral", "configurations", "the Edge TPU", "coral", "no Edge TPU: none found"))
    measured = [
        measurement(name, number, cost * factor, not name.startswith("whole"), joules)
        for number, factor in enumerate(drift, 1)
        for name, cost in costs.items()
    ]
    known: dict[str, object] = {
        "made": "2026-11-22T12:00:00+00:00",
        "machine": MACHINE,
        "speech": Spoken("two clips", 2, 2.0, 1.0, True),
        "threads": 1,
        "repetitions": len(drift),
        "baseline": next(iter(costs), ""),
        "rows": tuple(rows),
        "measurements": tuple(measured),
        "unmeasured": {"battery": "no watts were measured"},
    }
    return BenchReport(**{**known, **changes})  # type: ignore[arg-type]


LIFE = BatteryLife(20.0, 0.25, 2.0, 4.0, 8.0, 600.0, "a log")
