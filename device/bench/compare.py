"""Two reports side by side: what differs between their machines, and the ratios of what both measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from device.bench.figures import METRICS, across, by_repetition
from device.bench.record import BenchReport, Host


def differences(first: Host, second: Host) -> Iterator[str]:
    """A line for each thing that is not the same; loads are told whether they differ or not.

    >>> a = BenchReport.empty().machine
    >>> list(differences(a, dataclasses.replace(a, governor="performance", libraries={"numpy": "2"})))
    ['governor: none -> performance', 'numpy: none -> 2']
    """
    for field in dataclasses.fields(Host):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "libraries":
            for name in sorted(one.keys() | other.keys()):
                if one.get(name) != other.get(name):
                    yield f"{name}: {one.get(name, 'none')} -> {other.get(name, 'none')}"
        elif field.name == "load":
            if one or other:
                yield f"load before: {_loads(one)} -> {_loads(other)}"
        elif one != other:
            yield f"{field.name.replace('_', ' ')}: {one or 'none'} -> {other or 'none'}"


def lines(first: BenchReport, second: BenchReport) -> Iterator[str]:
    """What `dictate bench compare` prints."""
    yield f"{first.made or 'first'} -> {second.made or 'second'}"
    told = list(differences(first.machine, second.machine))
    for what, before, after in (
        ("speech", first.speech.source, second.speech.source),
        ("seconds of speech", first.speech.seconds, second.speech.seconds),
        ("cores used", first.threads, second.threads),
    ):
        if before != after:
            told.append(f"{what}: {before} -> {after}: the numbers below are not of the same work")
    yield from (f"  {line}" for line in told or ["machine and versions are the same"])
    cases = [row.case for row in first.rows if first.of(row.case) and second.of(row.case)]
    if not cases:
        yield "\nboth measured nothing that the other did"
        return
    yield "\nsecond over first, below 1 is better: ratio of medians [least, greatest over the repetitions]"
    width = max(map(len, cases))
    for metric in METRICS:
        for case in cases:
            one, other = (list(by_repetition(report, case, metric).values()) for report in (first, second))
            if (found := across(other, one)) is not None:
                yield f"  {metric.name:<28} {case:<{width}}  {found}"
    yield from _errors(first, second, cases, width)


def _errors(first: BenchReport, second: BenchReport, cases: list[str], width: int) -> Iterator[str]:
    words = {id(report): {row.case: row.words for row in report.rows} for report in (first, second)}
    for case in cases:
        one, other = words[id(first)].get(case), words[id(second)].get(case)
        if one and other:
            points = 100 * (other.wer - one.wer)
            yield f"  {'word error rate':<28} {case:<{width}}  {points:+.1f} points of {one.words} words"


def _loads(loads: tuple[float, ...]) -> str:
    return " ".join(f"{load:.2f}" for load in loads) or "unknown"
