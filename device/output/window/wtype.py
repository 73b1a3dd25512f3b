"""wtype: types on Wayland, where the compositor knows the virtual keyboard protocol (wlroots: Sway, Hyprland, labwc).

>>> [command.arguments for command in commands(2, "-h\\n")]
[('wtype', '-k', 'BackSpace', '-k', 'BackSpace'), ('wtype', '-'), ('wtype', '-k', 'Return')]
"""

from __future__ import annotations

from collections.abc import Iterator

from device.output.window.tool import Invocation, Tool, pieces

KEYS = {"\n": "Return", "\t": "Tab"}


def commands(backspaces: int, text: str) -> Iterator[Invocation]:
    if backspaces:
        yield Invocation(("wtype", *("-k", "BackSpace") * backspaces))
    for piece in pieces(text):
        yield Invocation(("wtype", "-k", KEYS[piece])) if piece in KEYS else Invocation(("wtype", "-"), piece)


TOOL = Tool("wtype", commands)
