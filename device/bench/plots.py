"""The report's pictures: latency of each chunk, errors against computing, the window sweep, energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device.bench.figures import late, middle, named, percentiles, pooled
from device.bench.record import BenchReport, CaseRow
from device.drawing import svg

WIDTH, ROW, LABELS, VALUES = 960, 40, 290, 150
TICKS = 400
"""Chunks drawn for a row at most; percentiles are of all."""


@dataclass(frozen=True, slots=True)
class Point:
    """A dot with a name on a scatter plot."""

    x: float
    y: float
    name: str
    colour: str


def colours(report: BenchReport) -> dict[str, str]:
    """A colour for each configuration, the same in all pictures."""
    names = [row.case for row in report.measured("configurations")]
    return {name: svg.COLOURS[index % len(svg.COLOURS)] for index, name in enumerate(names)}


def latency(report: BenchReport, sweep: str = "configurations") -> str:
    """Every chunk's latency at a microphone's pace, with percentiles; empty if nothing streamed."""
    rows = [row for row in report.measured(sweep) if pooled(report, row.case, late)]
    if not rows:
        return ""
    title = "Latency of a 100 ms chunk at a microphone's pace"
    height = 78 + ROW * len(rows)
    return svg.picture(
        WIDTH,
        height,
        title,
        [
            svg.text(16, 24, title, style="b", size=14),
            *_strips(report, rows, WIDTH, 40),
        ],
    )


def _strips(report: BenchReport, rows: Sequence[CaseRow], width: float, top: float) -> Iterator[str]:
    times = {row.case: [1e3 * seconds for seconds in pooled(report, row.case, late)] for row in rows}
    axis = svg.spanning([t for several in times.values() for t in several], LABELS, width - VALUES, True)
    bottom = top + ROW * len(rows)
    yield from svg.across(axis, bottom, top, "ms, logarithmic")
    paint = colours(report)
    for index, row in enumerate(rows):
        y, values = top + ROW * index + ROW / 2, times[row.case]
        found, colour = percentiles(values), paint.get(row.case, "c0")
        assert found
        yield svg.text(LABELS - 14, y + 4, row.title, "end")
        for value in sorted(values)[:: max(1, len(values) // TICKS)]:
            yield svg.box(axis(value) - 0.75, y - 9, 1.5, 18, colour, 0.25)
        yield svg.line(axis(found.p50), y, axis(found.max), y, "ink")
        yield svg.dot(axis(found.p50), y, colour, 6, hint=f"p50 {found.p50:.1f} ms")
        for name, value in (("p95", found.p95), ("p99", found.p99)):
            yield svg.dot(axis(value), y, colour, 4, hollow=True, hint=f"{name} {value:.1f} ms")
        yield svg.text(width - VALUES + 16, y + 4, f"{found.p50:.1f} / {found.p99:.1f} ms", style="soft")
    yield svg.text(width - VALUES + 16, top - 8, "p50 / p99", style="soft")


def errors(report: BenchReport) -> str:
    """Word error rate against processor time; empty if no words were scored."""
    points = _error_points(report)
    return _scatter("Word errors against computing", points, 960, 380) if points else ""


def _error_points(report: BenchReport) -> list[Point]:
    paint, points = colours(report), []
    for row in report.measured("configurations"):
        cost = middle(report, row.case, named("CPU s per s of speech"))
        if row.words and cost:
            points.append(Point(cost, 100 * row.words.wer, row.title, paint[row.case]))
    return points


def _scatter(title: str, points: Sequence[Point], width: int, height: int) -> str:
    return svg.picture(
        width,
        height,
        title,
        [
            svg.text(16, 24, title, style="b", size=14),
            *_dots(
                points,
                "CPU seconds for each second of speech, logarithmic",
                "word error rate, %",
                True,
                (64, 56, width - 40, height - 48),
            ),
        ],
    )


def _dots(
    points: Sequence[Point], x_title: str, y_title: str, logarithmic: bool, place: tuple[float, float, float, float]
) -> Iterator[str]:
    left, top, right, bottom = place
    x = svg.spanning([p.x for p in points], left, right - 130, logarithmic)
    y = svg.spanning([p.y for p in points], bottom, top)
    yield from svg.across(x, bottom, top, x_title)
    yield from svg.upright(y, left, right - 130, y_title)
    widths = [7.0 * len(p.name) for p in points]
    after = [x(p.x) + 11 + width <= right for p, width in zip(points, widths, strict=True)]
    labels = svg.apart(
        [
            (x(p.x) + (11 if behind else -11 - width), y(p.y) + 4, width)
            for p, width, behind in zip(points, widths, after, strict=True)
        ],
        14,
        [(x(p.x) - 6, y(p.y) + 4, 12) for p in points],
        bottom - 4,
    )
    for point, label, behind in zip(points, labels, after, strict=True):
        hint = f"{point.name}: {point.x:.3g}, {point.y:.3g}"
        yield svg.dot(x(point.x), y(point.y), point.colour, 6, hint=hint)
        side = (11, "start") if behind else (-11, "end")
        yield svg.text(x(point.x) + side[0], label, point.name, side[1], paint=point.colour)


def windows(report: BenchReport) -> str:
    """Word error rate against how far the partial texts are behind; empty without the sweep."""
    points = []
    for index, row in enumerate(report.measured("windows")):
        behind = percentiles(pooled(report, row.case, lambda h: (b for u in h.utterances for b in u.behind), fast=True))
        if row.words and behind:
            colour = svg.COLOURS[index % len(svg.COLOURS)]
            points.append(Point(behind.p50, 100 * row.words.wer, row.title, colour))
    if not points:
        return ""
    title = "Windows: word errors against delay"
    return svg.picture(
        960,
        340,
        title,
        [
            svg.text(16, 24, title, style="b", size=14),
            *_dots(
                points,
                "seconds that a partial text is behind the speech, p50",
                "word error rate, %",
                False,
                (64, 56, 880, 292),
            ),
        ],
    )


def energy(report: BenchReport) -> str:
    """Watts at a microphone's pace; empty where they were not measured."""
    found = [(row, middle(report, row.case, named("energy, paced"))) for row in report.measured("configurations")]
    bars = [(row, watts) for row, watts in found if watts is not None]
    if not bars:
        return ""
    axis = svg.spanning([watts for _, watts in bars], LABELS, WIDTH - VALUES)
    bottom, title = 40 + ROW * len(bars), "Power at a microphone's pace"
    shapes = [svg.text(16, 24, title, style="b", size=14), *svg.across(axis, bottom, 40, "W")]
    for index, (row, watts) in enumerate(bars):
        y = 40 + ROW * index
        shapes += [
            svg.text(LABELS - 14, y + ROW / 2 + 4, row.title, "end"),
            svg.box(LABELS, y + 8, axis(watts) - LABELS, ROW - 16, colours(report)[row.case]),
            svg.text(axis(watts) + 8, y + ROW / 2 + 4, f"{watts:.2f} W", style="soft"),
        ]
    return svg.picture(WIDTH, bottom + 44, title, shapes)


def summary(report: BenchReport) -> str:
    """One picture of the run: latency above, errors against computing below, where and when underneath."""
    rows = [row for row in report.measured("configurations") if pooled(report, row.case, late)]
    points, y = _error_points(report), 16.0
    shapes: list[str] = []
    if rows:
        shapes += [
            svg.text(16, y + 12, "Latency of a 100 ms chunk at a microphone's pace", style="b", size=14),
            *_strips(report, rows, WIDTH, y + 30),
        ]
        y += 30 + ROW * len(rows) + 56
    if points:
        shapes += [
            svg.text(16, y + 12, "Word errors against computing", style="b", size=14),
            *_dots(
                points,
                "CPU seconds for each second of speech, logarithmic",
                "word error rate, %",
                True,
                (64, y + 48, WIDTH - 16, y + 300),
            ),
        ]
        y += 350
    machine = report.machine
    where = (
        f"{report.made[:10]}, {machine.model}, {report.threads} of {machine.cores} cores, "
        f"load {machine.load[0]:.1f} before the run; {report.speech.source}"
    )
    shapes.append(svg.text(16, y + 10, where, style="soft"))
    return svg.picture(WIDTH, round(y + 26), "dictate bench", shapes)
