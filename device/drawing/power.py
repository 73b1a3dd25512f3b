"""Power over time as an SVG, coloured by state.

>>> svg([Sample(0.0, 1.0, "ready", watts=2.0), Sample(1.0, 1.0, "listening", watts=4.0)]).count("<rect") > 2
True
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from device.drawing.svg import OTHER, Axis, box, picture, spanning, text, upright
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
        return _frame([text(WIDTH / 2, HEIGHT / 2, "no power was measured", "middle")])
    begin = measured[0][0].time - measured[0][0].seconds
    span = max(measured[-1][0].time - begin, 1e-3)
    bars = [_Bar() for _ in range(COLUMNS)]
    for sample, watts in measured:
        place = (sample.time - sample.seconds / 2 - begin) / span
        bars[min(COLUMNS - 1, max(0, int(place * COLUMNS)))].add(sample, watts)
    axis = spanning([bar.joules / bar.seconds for bar in bars if bar.seconds], HEIGHT - BOTTOM, TOP)
    grid = upright(axis, LEFT, WIDTH - RIGHT)
    return _frame([*grid, *_times(begin, span), *_bars(bars, axis), *_legend(s.state for s, _ in measured)])


def _bars(bars: Sequence[_Bar], axis: Axis) -> Iterable[str]:
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    for index, bar in enumerate(bars):
        if bar.states:
            top = axis(bar.joules / bar.seconds)
            state = max(bar.states, key=bar.states.__getitem__)
            x = round(LEFT + index * width, 1)
            yield box(x, top, round(width, 2), HEIGHT - BOTTOM - top, PAINT.get(state, OTHER))


def _times(begin: float, span: float) -> Iterable[str]:
    for step in range(6):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / 5
        when = datetime.fromtimestamp(begin + span * step / 5).astimezone()
        anchor = "end" if step == 5 else "middle" if step else "start"
        shown = when.strftime("%H:%M:%S" if span < 3_600 else "%H:%M" if span < 86_400 else "%d %b")
        yield text(x, HEIGHT - BOTTOM + 20, shown, anchor)


def _legend(states: Iterable[str]) -> Iterable[str]:
    yield text(LEFT, 24, "Watts", style="b")
    for index, state in enumerate(dict.fromkeys(states)):
        x = LEFT + 90 + 110 * index
        yield box(x, 14, 12, 12, PAINT.get(state, OTHER))
        yield text(x + 18, 24, state)


def _frame(content: Iterable[str]) -> str:
    return picture(WIDTH, HEIGHT, "Watts over time", content)
