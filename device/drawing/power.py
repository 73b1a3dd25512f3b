"""Power over time as an SVG, coloured by state.

>>> svg([Sample(0.0, 1.0, "ready", watts=2.0), Sample(1.0, 1.0, "listening", watts=4.0)]).count("<rect") > 2
True
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from device.drawing import svg as drawing_svg
from device.power.log import Sample

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 40
COLUMNS = 440
"""Bars at most: samples that share one are averaged."""

PAINT = {"ready": "c2", "listening": "c0", "finalizing": "c7", "fault": "c6"}


@dataclass(slots=True)
class _Bar:
    """Samples that share a place on the time axis."""

    seconds: float = 0.0
    joules: float = 0.0
    states: dict[str, float] | None = None

    def add(self, sample: Sample, watts: float) -> None:
        self.seconds += sample.seconds
        self.joules += watts * sample.seconds
        self.states = self.states or {}
        self.states[sample.state] = self.states.get(sample.state, 0.0) + sample.seconds


def svg(samples: Sequence[Sample]) -> str:
    """Draw mean watts over time; a bar has the colour of the state in which it spent most time."""
    measured = [(s, s.watts) for s in samples if s.watts is not None and s.watts >= 0 and s.seconds > 0]
    if not measured:
        return _frame([drawing_svg.text(WIDTH / 2, HEIGHT / 2, "no power was measured", "middle")])
    begin = measured[0][0].time - measured[0][0].seconds
    span = max(measured[-1][0].time - begin, 1e-3)
    bars = [_Bar() for _ in range(COLUMNS)]
    for sample, watts in measured:
        place = (sample.time - sample.seconds / 2 - begin) / span
        bars[min(COLUMNS - 1, max(0, int(place * COLUMNS)))].add(sample, watts)
    axis = drawing_svg.spanning([bar.joules / bar.seconds for bar in bars if bar.seconds], HEIGHT - BOTTOM, TOP)
    grid = drawing_svg.upright(axis, LEFT, WIDTH - RIGHT)
    return _frame([*grid, *_times(begin, span), *_bars(bars, axis), *_legend(s.state for s, _ in measured)])


def _bars(bars: Sequence[_Bar], axis: drawing_svg.Axis) -> Iterable[str]:
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    for index, bar in enumerate(bars):
        if bar.states:
            top = axis(bar.joules / bar.seconds)
            state = max(bar.states, key=bar.states.__getitem__)
            x = round(LEFT + index * width, 1)
            yield drawing_svg.box(x, top, round(width, 2), HEIGHT - BOTTOM - top, PAINT.get(state, drawing_svg.OTHER))


def _times(begin: float, span: float) -> Iterable[str]:
    for step in range(6):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / 5
        when = datetime.fromtimestamp(begin + span * step / 5).astimezone()
        anchor = "end" if step == 5 else "middle" if step else "start"
        shown = when.strftime("%H:%M:%S" if span < 3_600 else "%H:%M" if span < 86_400 else "%d %b")
        yield drawing_svg.text(x, HEIGHT - BOTTOM + 20, shown, anchor)


def _legend(states: Iterable[str]) -> Iterable[str]:
    yield drawing_svg.text(LEFT, 24, "Watts", style="b")
    for index, state in enumerate(dict.fromkeys(states)):
        x = LEFT + 90 + 110 * index
        yield drawing_svg.box(x, 14, 12, 12, PAINT.get(state, drawing_svg.OTHER))
        yield drawing_svg.text(x + 18, 24, state)


def _frame(content: Iterable[str]) -> str:
    return drawing_svg.picture(WIDTH, HEIGHT, "Watts over time", content)
