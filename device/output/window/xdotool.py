"""xdotool: types on X11. Modifiers that are held, as those of a hot key, are let go meanwhile.

>>> [command.arguments for command in commands(1, "x\\n")][:2]
[('xdotool', 'key', '--clearmodifiers', 'BackSpace'), ('xdotool', 'type', '--clearmodifiers', '--file', '-')]
"""

from __future__ import annotations

from collections.abc import Iterator

from device.output.window.tool import Command, Tool, pieces

KEYS = {"\n": "Return", "\t": "Tab"}


def commands(backspaces: int, text: str) -> Iterator[Command]:
    if backspaces:
        yield Command(("xdotool", "key", "--clearmodifiers", *["BackSpace"] * backspaces))
    for piece in pieces(text):
        if piece in KEYS:
            yield Command(("xdotool", "key", "--clearmodifiers", KEYS[piece]))
        else:
            yield Command(("xdotool", "type", "--clearmodifiers", "--file", "-"), piece)


TOOL = Tool("xdotool", commands)
