"""What a computer reads from its keyboard: Linux key events to the text on its screen, for a US keyboard.

Key codes are those of linux/input-event-codes.h. This table shares nothing with the appliance's own layouts.

>>> screen = Screen()
>>> for code, value in ((42, 1), (35, 1), (35, 0), (42, 0), (23, 1), (23, 0), (48, 1), (48, 0), (14, 1), (14, 0)):
...     screen.key(code, value)
>>> screen.text
'Hi'
"""

from __future__ import annotations

_ROWS = (
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (57, " ", " "),
    (28, "\n", "\n"),
    (15, "\t", "\t"),
)
PLAIN = {first + at: char for first, plain, _ in _ROWS for at, char in enumerate(plain)}
SHIFTED = {first + at: char for first, _, shifted in _ROWS for at, char in enumerate(shifted)}

BACKSPACE = 14
SHIFTS = {42, 54}


class Screen:
    """The text that key events leave on a screen; `presses` counts the keys that went down, shift excepted."""

    def __init__(self) -> None:
        self.text = ""
        self.presses = 0
        self._shift: set[int] = set()

    def key(self, code: int, value: int) -> None:
        """Take an EV_KEY event: value 1 is down, 0 is up, 2 is the kernel's repeat."""
        if code in SHIFTS:
            (self._shift.add if value else self._shift.discard)(code)
            return
        if value == 0:
            return
        self.presses += value == 1
        if code == BACKSPACE:
            self.text = self.text[:-1]
        else:
            self.text += (SHIFTED if self._shift else PLAIN).get(code, f"<{code}>")
