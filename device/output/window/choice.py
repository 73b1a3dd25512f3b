"""Which program types in this session.

>>> wanted({"DISPLAY": ":0"}).name, wanted({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}).name
('xdotool', 'wtype')
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from device.output.window import wtype, xdotool, ydotool
from device.output.window.tool import Tool
from models.errors import UserError

TOOLS = {tool.name: tool for tool in (wtype.TOOL, ydotool.TOOL, xdotool.TOOL)}

WITHOUT_VIRTUAL_KEYBOARD = ("GNOME", "KDE")
"""Desktops (XDG_CURRENT_DESKTOP) whose compositors take no keys from wtype."""


def wanted(environ: Mapping[str, str]) -> Tool:
    """The program that suits the session: Wayland before X11, since an X server runs beside Wayland too."""
    if environ.get("WAYLAND_DISPLAY"):
        desktops = environ.get("XDG_CURRENT_DESKTOP", "").upper().split(":")
        return ydotool.TOOL if any(name in desktops for name in WITHOUT_VIRTUAL_KEYBOARD) else wtype.TOOL
    return xdotool.TOOL if environ.get("DISPLAY") else ydotool.TOOL


def choose(name: str = "auto", environ: Mapping[str, str] = os.environ) -> Tool:
    """The program that is named, or that suits the session. UserError says what is missing and how to get it."""
    tool = TOOLS[name] if name in TOOLS else wanted(environ)
    if shutil.which(tool.name, path=environ.get("PATH")) is None:
        session = "" if name in TOOLS else f", which types in {_session(environ)},"
        raise UserError(f"{tool.name}{session} is not installed: sudo apt-get install {tool.name}")
    if reason := tool.unusable():
        raise UserError(reason)
    return tool


def _session(environ: Mapping[str, str]) -> str:
    if environ.get("WAYLAND_DISPLAY"):
        return f"Wayland sessions of {environ.get('XDG_CURRENT_DESKTOP') or 'this kind'}"
    return "X11 sessions" if environ.get("DISPLAY") else "sessions without a display"
