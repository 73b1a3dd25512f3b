"""xdotool: types on X11. Modifiers that are held, as those of a hot key, are let go meanwhile.

A character that the layout has no key for gets one for a moment; the window has to look at its key press meanwhile.

>>> [command.arguments for command in commands(1, "x\\n")][:2]
[('xdotool', 'key', '--clearmodifiers', 'BackSpace'), ('xdotool', 'type', '--clearmodifiers', '--file', '-')]
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from device.output.window.tool import Invocation, Tool, pieces

STRANGE_MS = 150
"""Between the keys of characters outside ASCII."""

KEYS = {"\n": "Return", "\t": "Tab"}


def commands(backspaces: int, text: str) -> Iterator[Invocation]:
    if backspaces:
        yield Invocation(("xdotool", "key", "--clearmodifiers", *["BackSpace"] * backspaces))
    for piece in pieces(text):
        if piece in KEYS:
            yield Invocation(("xdotool", "key", "--clearmodifiers", KEYS[piece]))
            continue
        for part in filter(None, re.split("([^ -~]+)", piece)):
            delay = () if part.isascii() else ("--delay", str(STRANGE_MS))
            yield Invocation(("xdotool", "type", "--clearmodifiers", *delay, "--file", "-"), part)


TOOL = Tool("xdotool", commands)
