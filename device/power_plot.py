"""Power over time as an SVG, coloured by state.

Drawn by hand: one line chart is not worth matplotlib's 60 MB and its seconds of import on the device.

>>> svg([Sample(0.0, 1.0, "ready", watts=2.0), Sample(1.0, 1.0, "listening", watts=4.0)]).count("<rect") > 2
True
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from device.power_log import Sample

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 40
COLUMNS = 440
"""Bars at most: samples that share one are averaged."""

PAINT = {"ready": "#1f9d3a", "listening": "#2463eb", "thinking": "#8b5cf6", "fault": "#d92626"}
OTHER = "#8a94a3"


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
    measured = [(s, s.watts) for s in samples if s.watts is not None and s.seconds > 0]
    if not measured:
        return _frame(["<text x='480' y='160' text-anchor='middle'>no power was measured</text>"])
    begin = measured[0][0].time - measured[0][0].seconds
    span = max(measured[-1][0].time - begin, 1e-3)
    bars = [_Bar() for _ in range(COLUMNS)]
    for sample, watts in measured:
        place = (sample.time - sample.seconds / 2 - begin) / span
        bars[min(COLUMNS - 1, max(0, int(place * COLUMNS)))].add(sample, watts)
    top = max(bar.joules / bar.seconds for bar in bars if bar.seconds) * 1.1 or 1.0
    return _frame([*_grid(begin, span, top), *_bars(bars, top), *_legend(s.state for s, _ in measured)])


def _bars(bars: Sequence[_Bar], top: float) -> Iterable[str]:
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    for index, bar in enumerate(bars):
        if bar.states:
            height = (HEIGHT - TOP - BOTTOM) * bar.joules / bar.seconds / top
            state = max(bar.states, key=bar.states.__getitem__)
            yield (
                f'<rect x="{LEFT + index * width:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" '
                f'width="{width:.2f}" height="{height:.1f}" fill="{PAINT.get(state, OTHER)}"/>'
            )


def _grid(begin: float, span: float, top: float) -> Iterable[str]:
    for step in range(5):
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * step / 4
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#e6e9ee"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{top * step / 4:.2f}</text>'
    for step in range(6):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / 5
        when = datetime.fromtimestamp(begin + span * step / 5).astimezone()
        anchor = "end" if step == 5 else "middle" if step else "start"
        text = when.strftime("%H:%M:%S" if span < 3_600 else "%H:%M" if span < 86_400 else "%d %b")
        yield f'<text x="{x}" y="{HEIGHT - BOTTOM + 20}" text-anchor="{anchor}">{text}</text>'


def _legend(states: Iterable[str]) -> Iterable[str]:
    yield f'<text x="{LEFT}" y="24" font-weight="bold">Watts</text>'
    for index, state in enumerate(dict.fromkeys(states)):
        x = LEFT + 90 + 110 * index
        yield f'<rect x="{x}" y="14" width="12" height="12" fill="{PAINT.get(state, OTHER)}"/>'
        yield f'<text x="{x + 18}" y="24">{state}</text>'


def _frame(content: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12" fill="#1c2430">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *content,
            "</svg>",
            "",
        ]
    )
