"""From text to the reports of a USB boot keyboard (HID specification 1.11, appendix B.1).

Each report changes one thing: a modifier goes down, then the key, then the key comes up, then the modifier. Remote
desktops, virtual machines and KVM switches lose a Shift that comes in the same report as its key.

Text is typed in Unicode's composed form (NFC): "e" and a combining acute accent are one é. A character that the layout
lacks is replaced by this rule, the first that applies: its entry in :data:`SUBSTITUTES`; its letters without their
accents (Unicode NFKD); a question mark.
Control characters other than tab and newline, and lone marks, are not typed.

>>> from device.output import layouts
>>> keys = layouts.strokes(layouts.LAYOUTS["us"])
>>> spelled("“naïve” – 5 €", keys)
'"naive" - 5 EUR'
>>> [report.hex(" ", 4) for report in reports(layouts.Stroke(0x04, layouts.SHIFT))]
['02000000 00000000', '02000400 00000000', '02000000 00000000', '00000000 00000000']
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from device.output.layouts import Stroke

RELEASE = bytes(8)
"""No key pressed."""

Keys = Mapping[str, tuple[Stroke, ...]]

SUBSTITUTES: Mapping[str, str] = {
    **dict.fromkeys("“”„«»″", '"'),
    **dict.fromkeys("‘’‚‹›′", "'"),
    **dict.fromkeys("–—−‐‑", "-"),
    "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "ẞ": "SS",
    "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D",
    "þ": "th", "Þ": "Th", "ı": "i",
    "€": "EUR", "£": "GBP", "¥": "JPY", "¢": "c", "°": " deg", "×": "x", "÷": "/", "·": ".", "•": "*",
    "¬": "not", "§": "section", "µ": "u", "©": "(c)", "®": "(R)", "¿": "?", "¡": "!",
    "⁄": "/", "`": "'", "~": "-",
}  # fmt: skip
"""What people type instead."""


def report(modifiers: int, usage: int = 0) -> bytes:
    """The eight bytes that say what is down: modifiers, a reserved byte, up to six usages."""
    return bytes((modifiers, 0, usage, 0, 0, 0, 0, 0))


def reports(stroke: Stroke) -> tuple[bytes, ...]:
    """The reports that press and release a key, each with one change; the last is :data:`RELEASE`."""
    held = [0]
    for bit in range(8):
        if stroke.modifiers & 1 << bit:
            held.append(held[-1] | 1 << bit)
    around = [report(modifiers) for modifiers in held]
    return (*around[1:], report(stroke.modifiers, stroke.usage), *reversed(around))


def let_go(newest: bytes) -> bytes:
    """The report after `newest` that releases what it holds down: its key first, then its modifiers."""
    return report(newest[0]) if newest[0] and newest[2] else RELEASE


def clusters(text: str) -> Iterator[tuple[str, int]]:
    """The text in composed form (NFC), piece by piece, each with the number of code points that it had in `text`.

    >>> list(clusters("re\u0301s"))
    [('r', 1), ('é', 2), ('s', 1)]
    """
    piece = ""
    for char in text:
        joined = unicodedata.normalize("NFC", piece + char)
        if piece and not unicodedata.combining(char) and len(joined) > len(unicodedata.normalize("NFC", piece)):
            yield unicodedata.normalize("NFC", piece), len(piece)
            piece = ""
        piece += char
    if piece:
        yield unicodedata.normalize("NFC", piece), len(piece)


def spell(char: str, keys: Keys) -> str:
    """What is typed for one character: only characters that `keys` has."""
    if char in keys:
        return char
    if char in SUBSTITUTES:
        return "".join(spell(other, keys) for other in SUBSTITUTES[char])
    if unicodedata.category(char) in ("Cc", "Cf", "Mn", "Mc", "Me"):
        return ""
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    if plain != char and plain and all(c in keys or c in SUBSTITUTES for c in plain):
        return "".join(spell(other, keys) for other in plain)
    return "?"


def spelled(text: str, keys: Keys) -> str:
    """What is typed for a text."""
    return "".join(spell(char, keys) for piece, _ in clusters(text) for char in piece)
