"""From text to the reports of a USB boot keyboard (HID specification 1.11, appendix B.1).

A character that the layout lacks is replaced by this rule, the first that applies:
its entry in :data:`SUBSTITUTES`; its letters without their accents (Unicode NFKD); a question mark.
Control characters other than tab and newline, and lone marks, are not typed.

>>> from device import layouts
>>> keys = layouts.strokes(layouts.LAYOUTS["us"])
>>> spelled("“naïve” – 5 €", keys)
'"naive" - 5 EUR'
>>> report(layouts.Stroke(0x04, layouts.SHIFT)).hex()
'0200040000000000'
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from device.layouts import Stroke

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


def report(stroke: Stroke) -> bytes:
    """The eight bytes that say a key is down: modifiers, a reserved byte, up to six usages."""
    return bytes((stroke.modifiers, 0, stroke.usage, 0, 0, 0, 0, 0))


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
    return "".join(spell(char, keys) for char in text)
