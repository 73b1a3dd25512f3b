"""The tables in docs/ that say what the code does, made from the data that the code uses.

`python -m device.cli.doctables docs/*.md` puts each table between its markers again; a test checks that they are
as they would be made.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from device.cli.format import formatted
from device.config import fields
from device.config.schema import Config
from device.output import hid_report, layouts
from device.panel.header import wires
from device.text import commands
from device.text.edits import apply
from device.text.formatter import Punctuation, Rules, TextFormatter
from device.text.itn import Style

EXAMPLES = (
    "it is five thirty p m",
    "from nine to five p m",
    "meet me at ten oh five",
    "at fourteen thirty",
    "half past six",
    "march twenty first twenty twenty six",
    "the first of may",
    "in nineteen eighty four",
    "in the nineteen nineties",
    "the twenty first century",
    "two of the twelve",
    "five to ten people",
    "three to four hundred people",
    "between one hundred and two thousand",
    "two twenty dollar bills",
    "one million two hundred thousand and six",
    "two point five million",
    "fifty dollars and five cents",
    "five pounds fifty",
    "three point five percent",
    "minus forty degrees",
    "two hours and fifteen minutes",
    "chapter five",
    "room one oh one",
    "version one point two point three",
    "five five five oh one two three",
    "oh seven seven double oh nine double oh one two three",
    "a hundred times",
    "two thirds",
    "twenty twenty vision",
)
"""Said, for the table of numbers."""

PUNCTUATED = (
    "Hello, how are you? I'm fine.",
    "Hello. | Comma. | How are you. | Question mark.",
    "Dear Anna, | new line. | Thank you.",
    "We went home. | Scratch that. | We stayed.",
    "The title is. | All caps. Urgent.",
    "Open bracket, see below close bracket.",
    "Write to info at sign example dot com.",
    "Yes comma it is all caps urgent full stop.",
    "The trial period ended.",
    "It costs twenty-five dollars, or $20 at 10:30.",
)
"""Recognised with capitals and punctuation, for the table of modes; a bar is a pause."""


def spoken_commands() -> str:
    """What can be said besides words."""
    return _table(("you say", "it writes or does"), commands.table())


def number_examples() -> str:
    """Numbers as said and as written, in both Englishes."""
    rows = [(said, _written(said, "us"), _written(said, "uk")) for said in EXAMPLES]
    return _table(("you say", '`english = "us"`', '`english = "uk"`'), rows)


def punctuation() -> str:
    """What each mode writes for the words of a recogniser that punctuates."""
    modes: tuple[Punctuation, ...] = ("auto", "spoken", "both")
    rows = [(said, *(formatted(said, Rules(mode)).replace("\n", " ⏎ ") for mode in modes)) for said in PUNCTUATED]
    return _table(("recognised", *(f"`{mode}`" for mode in modes)), rows)


def keyboard_layouts() -> str:
    """What each layout types beside ASCII, and which ASCII it cannot."""
    rows = []
    for name, layout in layouts.LAYOUTS.items():
        keys = layouts.strokes(layout)
        extra = "".join(sorted(char for char in keys if not char.isascii()))
        missing = " ".join(f"`` {c} ``" for c in map(chr, range(32, 127)) if c not in keys)
        rows.append((name, extra or "–", missing or "–"))
    return _table(("layout", "typed besides ASCII", "ASCII not typed"), rows)


def substitutes() -> str:
    """What is typed for characters that a layout lacks, as on the US layout."""
    keys = layouts.strokes(layouts.LAYOUTS["us"])
    rows = [
        (f"`` {char} ``", f"`` {hid_report.spell(char, keys)} ``")
        for char in hid_report.SUBSTITUTES
        if char not in keys
    ]
    return _table(("character", "typed"), rows)


def keys() -> str:
    """Every setting."""
    rows = [
        (f"`{leaf.key}`", f"`{fields.format_value(leaf.default)}`", leaf.expected, leaf.spec.help)
        for leaf in fields.walk(Config)
    ]
    return _table(("key", "default", "allowed", "what it is for"), rows)


def header_pins() -> str:
    """Every wire to the 40-pin header, with the default settings."""
    rows = [(wire.part, wire.terminal, str(wire.pin), wire.name, wire.through or "–") for wire in wires(Config().panel)]
    return _table(("part", "terminal", "pin", "its name", "through"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "commands": spoken_commands,
    "numbers": number_examples,
    "punctuation": punctuation,
    "layouts": keyboard_layouts,
    "substitutes": substitutes,
    "settings": keys,
    "wiring": header_pins,
}
"""By the name in the markers: ``<!-- table: commands -->`` to ``<!-- end -->``."""


def fill(text: str) -> str:
    """A page with each of its tables made anew. Raises KeyError for a table that there is not."""
    pattern = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}", text)


def _written(said: str, english: str) -> str:
    writer = TextFormatter(Rules(style=Style(english="uk" if english == "uk" else "us")))
    return apply("", writer.segment(said))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
