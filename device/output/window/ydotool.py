"""ydotool: types on any Wayland or X11 session and on the console, by a keyboard that the kernel makes (uinput).

It sends the keys of the US layout, as the appliance's keyboard does by default, and knows ASCII alone; what has no key
is written as the appliance writes it. Its daemon, ydotoold, has to run; versions before 1.0 are called otherwise.

>>> [command.arguments for command in commands(1, "x")]
[('ydotool', 'key', '14:1', '14:0'), ('ydotool', 'type', '--file', '-')]
>>> spelled("… naïve")
'... naive'
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from device.output import hid_report, layouts
from device.output.window.tool import Invocation, Tool

BACKSPACE = ("14:1", "14:0")
"""KEY_BACKSPACE of linux/input-event-codes.h, down and up."""


def commands(backspaces: int, text: str) -> Iterator[Invocation]:
    if backspaces:
        yield Invocation(("ydotool", "key", *BACKSPACE * backspaces))
    if text:
        yield Invocation(("ydotool", "type", "--file", "-"), text)


def spelled(piece: str) -> str:
    """What the US layout has keys for."""
    return hid_report.spelled(piece, layouts.strokes(layouts.LAYOUTS["us"]))


def unusable() -> str:
    """Version 0.1, which has a recorder, takes other arguments."""
    said = subprocess.run(["ydotool", "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    return "ydotool is older than 1.0: install a newer one (Debian 13 has it)" if "recorder" in said else ""


TOOL = Tool("ydotool", commands, spelled, unusable)
