"""The few shapes that the charts here are made of, as SVG that every renderer draws alike.

Drawn by hand: charts of bars, dots and axes are not worth matplotlib's 60 MB and its seconds of import on the device.

>>> axis = Axis(0.0, 10.0, 100.0, 200.0)
>>> axis(5.0), [label for _, label in axis.ticks()]
(150.0, ['0', '2', '4', '6', '8', '10'])
>>> picture(40, 20, "A dot", [dot(20, 10, "c0")]).startswith("<svg")
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from models.errors import UserError

PAINT = {
    "ink": "#1c2430",
    "soft": "#5b6675",
    "grid": "#e3e7ec",
    "paper": "#ffffff",
    "c0": "#2463eb",
    "c1": "#d9600a",
    "c2": "#1f9d3a",
    "c3": "#a3219e",
    "c4": "#b58900",
    "c5": "#0b91a8",
    "c6": "#d92626",
    "c7": "#6b5bd6",
    "c8": "#7a8594",
}
"""Colours by name; c0 to c8 are for series. They are written out in every shape: few renderers know CSS variables."""

STYLE = (
    ".chart{font:12px system-ui,sans-serif}"
    f" .chart text{{fill:{PAINT['ink']}}} .chart .soft{{fill:{PAINT['soft']}}} .chart .paper{{fill:{PAINT['paper']}}}"
    f" .chart .grid{{stroke:{PAINT['grid']}}} .chart .ink{{stroke:{PAINT['ink']}}} .chart .b{{font-weight:600}}"
)

COLOURS = tuple(f"c{number}" for number in range(8))
OTHER = "c8"


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high` on pixels from `start` to `end`, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; those beyond an end are put there."""
        low, high, at = (self._scaled(v) for v in (self.low, self.high, min(max(value, self.low), self.high)))
        return round(self.start + (self.end - self.start) * (at - low) / (high - low or 1.0), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of round values, about five of them."""
        return [(self(value), f"{value:,.10g}") for value in self._round()]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _round(self) -> Iterator[float]:
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(decades) < 5 else (1,)
            yield from (
                float(f"{step}e{decade}")
                for decade in decades
                for step in steps
                if self.low <= step * 10.0**decade <= self.high
            )
            return
        rough = (self.high - self.low) / 5 or 1.0
        scale = 10.0 ** math.floor(math.log10(rough))
        step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        yield from (round(n * step, 10) for n in range(first, math.floor(self.high / step + 1e-9) + 1))


def spanning(values: Iterable[float], start: float, end: float, logarithmic: bool = False) -> Axis:
    """An axis on which all `values` have room; from 0 if it is linear."""
    known = [value for value in values if not logarithmic or value > 0] or [1.0]
    if logarithmic:
        return Axis(min(known) / 1.3, max(known) * 1.3, start, end, True)
    return Axis(0.0, max(known) * 1.1 or 1.0, start, end)


def text(x: float, y: float, words: str, anchor: str = "start", style: str = "", size: int = 0, paint: str = "") -> str:
    """Words whose baseline begins, is centred or ends at (x, y)."""
    sized = f' font-size="{size}"' if size else ""
    styled = f' class="{style}"' if style else ""
    styled += f' style="fill:{PAINT[paint]}"' if paint else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{styled}{sized}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str = "grid") -> str:
    """A line from one point to another."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{style}"/>'


def box(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0, hint: str = "") -> str:
    """A filled rectangle; `hint` is shown when the pointer rests on it."""
    faded = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
    shape = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{PAINT[colour]}"{faded}'
    return f"{shape}><title>{escape(hint)}</title></rect>" if hint else f"{shape}/>"


def dot(x: float, y: float, colour: str, radius: float = 5.0, hollow: bool = False, hint: str = "") -> str:
    """A dot, or a ring."""
    inside, rim = PAINT["paper" if hollow else colour], f' stroke="{PAINT[colour]}" stroke-width="2"' if hollow else ""
    paint = f'fill="{inside}"{rim}'
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {paint}><title>{escape(hint)}</title></circle>'


def across(axis: Axis, y: float, top: float, title: str = "") -> Iterator[str]:
    """Grid lines and labels of a horizontal axis at `y`, the lines up to `top`."""
    for x, label in axis.ticks():
        yield line(x, top, x, y)
        yield text(x, y + 16, label, "middle", "soft")
    yield text((axis.start + axis.end) / 2, y + 34, title, "middle", "soft")


def upright(axis: Axis, x: float, right: float, title: str = "") -> Iterator[str]:
    """Grid lines and labels of a vertical axis at `x`, the lines up to `right`."""
    for y, label in axis.ticks():
        yield line(x, y, right, y)
        yield text(x - 8, y + 4, label, "end", "soft")
    yield text(x, min(axis.start, axis.end) - 12, title, "start", "soft")


Place = tuple[float, float, float]
"""Where text begins, its height in the picture, and its width."""


def apart(labels: Sequence[Place], least: float, taken: Sequence[Place] = (), lowest: float = math.inf) -> list[float]:
    """The heights nearest to those of `labels` at which none is closer than `least` to another, or to what is `taken`.

    None is below `lowest`; heights grow downwards.

    >>> apart([(0.0, 10.0, 50.0), (90.0, 11.0, 50.0), (20.0, 12.0, 50.0)], 8.0)
    [10.0, 11.0, 18.0]
    >>> apart([(0.0, 10.0, 50.0), (20.0, 12.0, 50.0)], 8.0, lowest=13.0)
    [10.0, 2.0]
    """
    placed = list(taken)
    heights = [0.0] * len(labels)
    for index in sorted(range(len(labels)), key=lambda i: labels[i][1]):
        x, y, width = labels[index]
        beside = [at for other, at, wide in placed if other < x + width and x < other + wide]
        options = [min(y, lowest), *(at + step for at in beside for step in (-least, least))]
        free = [at for at in options if at <= lowest and all(abs(at - other) > least - 1e-6 for other in beside)]
        heights[index] = min(free, key=lambda at: abs(at - y))
        placed.append((x, heights[index], width))
    return heights


def picture(width: int, height: int, title: str, shapes: Iterable[str]) -> str:
    """A whole SVG; `title` is what it is called where it cannot be seen."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" class="chart" role="img" '
            f"aria-label={quoteattr(title)}>",
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect width="{width}" height="{height}" class="paper"/>',
            *shapes,
            "</svg>",
            "",
        ]
    )


def write(path: Path, picture: str) -> int:
    """Write an SVG to `path` and return 0, the command's exit status. Raises UserError."""
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; name another file") from None
    return 0
