"""A computer with a USB keyboard: reports in, the text on its screen out.

`Table` reads with the repository's own layout turned round; `Xkb` asks libxkbcommon, which knows nothing of
this repository, and is what a Linux desktop would do.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Protocol

from device.output import layouts

BACKSPACE = 0x2A
EVDEV = dict(zip([*range(0x04, 0x39), 0x64], [
    30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44,
    2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53, 86,
], strict=True))  # fmt: skip
"""HID usage to Linux key code: hid_keyboard[] of the kernel's hid-input.c."""


class Reader(Protocol):
    def press(self, usage: int, modifiers: int) -> str:
        """The text that a key press makes."""


class Host:
    """Follows reports as a HID boot driver does: a key is pressed when it appears in a report."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.screen = ""
        self.down: set[int] = set()
        self.presses = 0

    def feed(self, reports: bytes) -> None:
        assert len(reports) % 8 == 0
        for at in range(0, len(reports), 8):
            report = reports[at : at + 8]
            keys = set(report[2:]) - {0}
            for usage in sorted(keys - self.down):
                self.presses += 1
                if usage == BACKSPACE:
                    assert self.screen, "deleted what this keyboard had not typed"
                    self.screen = self.screen[:-1]
                else:
                    self.screen += self.reader.press(usage, report[0])
            self.down = keys


class Table:
    def __init__(self, layout: str) -> None:
        self.known = {strokes: char for char, strokes in layouts.strokes(layouts.LAYOUTS[layout]).items()}
        self.dead = {strokes[0] for strokes in self.known if len(strokes) == 2}
        self.held: tuple[layouts.Stroke, ...] = ()

    def press(self, usage: int, modifiers: int) -> str:
        stroke = layouts.Stroke(usage, modifiers)
        if not self.held and stroke in self.dead:
            self.held = (stroke,)
            return ""
        held, self.held = self.held, ()
        return self.known[(*held, stroke)]


class _Names(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")]


class Xkb:
    """Raises OSError where libxkbcommon or its data is missing."""

    def __init__(self, layout: str) -> None:
        name = ctypes.util.find_library("xkbcommon")
        if name is None:
            raise OSError("libxkbcommon is not installed")
        self.lib = lib = ctypes.CDLL(name)
        for function in ("xkb_context_new", "xkb_keymap_new_from_names", "xkb_state_new",
                         "xkb_compose_table_new_from_locale", "xkb_compose_state_new"):  # fmt: skip
            getattr(lib, function).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(lib.xkb_context_new(0))
        wanted = _Names(b"evdev", b"pc105", {"uk": "gb"}.get(layout, layout).encode(), b"", b"")
        self.keymap = ctypes.c_void_p(lib.xkb_keymap_new_from_names(self.context, ctypes.byref(wanted), 0))
        table = ctypes.c_void_p(lib.xkb_compose_table_new_from_locale(self.context, b"en_US.UTF-8", 0))
        if not self.keymap or not table:
            raise OSError("xkb-data or the compose tables are not installed")
        self.state = ctypes.c_void_p(lib.xkb_state_new(self.keymap))
        self.compose = ctypes.c_void_p(lib.xkb_compose_state_new(table, 0))

    def press(self, usage: int, modifiers: int) -> str:
        held = [code for bit, code in ((layouts.SHIFT, 42), (layouts.ALTGR, 100)) if modifiers & bit]
        for code in held:
            self.lib.xkb_state_update_key(self.state, code + 8, 1)
        key = EVDEV[usage] + 8
        symbol = self.lib.xkb_state_key_get_one_sym(self.state, key)
        self.lib.xkb_compose_state_feed(self.compose, symbol)
        status = self.lib.xkb_compose_state_get_status(self.compose)
        buffer = ctypes.create_string_buffer(64)
        if status == 2:
            self.lib.xkb_compose_state_get_utf8(self.compose, buffer, 64)
        elif status == 0:
            self.lib.xkb_state_key_get_utf8(self.state, key, buffer, 64)
        for code in held:
            self.lib.xkb_state_update_key(self.state, code + 8, 0)
        return buffer.value.decode().replace("\r", "\n")
