"""Keyboard layouts as data: which keys, with which modifiers, make a character.

A layout is the one *set on the computer*; the keyboard only sends key positions. Only characters on which
Windows and Linux (xkeyboard-config) agree are listed. Key codes are those of the USB HID Usage Tables 1.4,
section 10, keyboard page; modifier bits those of the HID specification 1.11, section 8.3.

>>> strokes(LAYOUTS["de"])["z"], strokes(LAYOUTS["us"])["z"]
((Stroke(usage=28, modifiers=0),), (Stroke(usage=29, modifiers=0),))
>>> len(strokes(LAYOUTS["fr"])["ê"])
2
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

SHIFT, ALTGR = 0x02, 0x40
"""Left shift and right alt."""

NONE = "\0"
"""In a row: nothing, or nothing that Windows and Linux agree on."""

GRAVE, ACUTE, CIRCUMFLEX, DIAERESIS = "\u0300", "\u0301", "\u0302", "\u0308"
"""In a row: a dead key, as the combining character that it puts on the next letter."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One press and release of a key while modifiers are held."""

    usage: int
    modifiers: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """What each key types, row by row in the order of :data:`POSITIONS`."""

    plain: tuple[str, str, str, str]
    shift: tuple[str, str, str, str]
    altgr: Mapping[str, str] = field(default_factory=dict)
    """Plain character of a key to the character it has with AltGr."""
    letters: Mapping[str, str] = field(default_factory=dict)
    """Dead key to the letters that may follow it."""
    alone: Mapping[str, str] = field(default_factory=dict)
    """Dead key to the character that it makes with a space."""
    backslash: int = 0x32
    """The key left of, or above, Enter: 0x31 on ANSI keyboards, 0x32 on ISO ones."""


POSITIONS = (
    (0x35, *range(0x1E, 0x28), 0x2D, 0x2E),
    (0x14, 0x1A, 0x08, 0x15, 0x17, 0x1C, 0x18, 0x0C, 0x12, 0x13, 0x2F, 0x30),
    (0x04, 0x16, 0x07, 0x09, 0x0A, 0x0B, 0x0D, 0x0E, 0x0F, 0x33, 0x34, 0),
    (0x64, 0x1D, 0x1B, 0x06, 0x19, 0x05, 0x11, 0x10, 0x36, 0x37, 0x38),
)
"""Usages of the keys, left to right, from the digits' row to the bottom one; 0 is `Layout.backslash`."""

ALWAYS = {"\n": Stroke(0x28), "\t": Stroke(0x2B), " ": Stroke(0x2C)}
"""Keys that are the same everywhere: Enter, Tab, Space."""

BACKSPACE = Stroke(0x2A)

CAPS_LOCK = Stroke(0x39)

LAYOUTS: Mapping[str, Layout] = {
    "us": Layout(
        plain=("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", NONE + "zxcvbnm,./"),
        shift=("~!@#$%^&*()_+", "QWERTYUIOP{}", 'ASDFGHJKL:"|', NONE + "ZXCVBNM<>?"),
        backslash=0x31,
    ),
    "uk": Layout(
        plain=("`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"),
        shift=('¬!"£$%^&*()_+', "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"),
        altgr={"4": "€"},
    ),
    "de": Layout(
        plain=(CIRCUMFLEX + "1234567890ß" + ACUTE, "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"),
        shift=('°!"§$%&/()=?' + GRAVE, "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"),
        altgr=dict(zip("237890ßqe+<m", "²³{[]}\\@€~|µ", strict=True)),
        letters={CIRCUMFLEX: "aeiouAEIOU", ACUTE: "aeiouyAEIOUY", GRAVE: "aeiouAEIOU"},
        alone={CIRCUMFLEX: "^", GRAVE: "`"},
    ),
    "fr": Layout(
        plain=("²&é\"'(-è_çà)=", f"azertyuiop{CIRCUMFLEX}$", "qsdfghjklmù*", "<wxcvbn,;:!"),
        shift=(NONE + "1234567890°+", f"AZERTYUIOP{DIAERESIS}£", "QSDFGHJKLM%µ", ">WXCVBN?./§"),
        altgr=dict(zip("\"'(-_çà)=e$", "#{[|\\^@]}€¤", strict=True)),
        letters={CIRCUMFLEX: "aeiouAEIOU", DIAERESIS: "aeiouyAEIOU"},
    ),
}
"""By the names used in the configuration."""


def strokes(layout: Layout) -> dict[str, tuple[Stroke, ...]]:
    """Every character that a layout types, and the strokes for it; dead keys make two."""
    found: dict[str, tuple[Stroke, ...]] = {char: (stroke,) for char, stroke in ALWAYS.items()}
    dead: dict[str, Stroke] = {}
    for plain, shifted, usages in zip(layout.plain, layout.shift, POSITIONS, strict=True):
        for low, high, usage in zip(plain, shifted, usages, strict=True):
            key = usage or layout.backslash
            levels = ((low, 0), (high, SHIFT), (layout.altgr.get(low, NONE), ALTGR))
            for char, modifiers in levels:
                if unicodedata.combining(char):
                    dead[char] = Stroke(key, modifiers)
                elif char != NONE:
                    found.setdefault(char, (Stroke(key, modifiers),))
    for mark, letters in layout.letters.items():
        for letter in letters:
            found[unicodedata.normalize("NFC", letter + mark)] = (dead[mark], *found[letter])
    for mark, char in layout.alone.items():
        found.setdefault(char, (dead[mark], ALWAYS[" "]))
    return found
