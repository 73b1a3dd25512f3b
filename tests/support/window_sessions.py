"""Real sessions without a screen, X11 (Xvfb) and Wayland (headless Sway), with a terminal in front that keeps what is
typed into it.

The terminal's line discipline edits the line as it does for a user: Backspace deletes, Enter ends the line.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60.0
NOBODY = "65534"
"""Sway does not run as root."""


@dataclass
class Session:
    """How to reach a session, and the terminal in it."""

    environ: Mapping[str, str]
    pipe: int
    _kept: bytes = b""

    def has_line(self, seconds: float) -> bool:
        """Whether a line was typed, or is within so many seconds."""
        return b"\n" in self._kept or bool(select.select([self.pipe], [], [], seconds)[0])

    def line(self) -> str:
        """The next line that was typed, waited for."""
        while b"\n" not in self._kept:
            ready, _, _ = select.select([self.pipe], [], [], PATIENCE_S)
            assert ready, f"nothing was typed in {PATIENCE_S} s, after {self._kept!r}"
            self._kept += os.read(self.pipe, 65_536)
        line, _, self._kept = self._kept.partition(b"\n")
        return line.decode()


@contextmanager
def x11() -> Iterator[Session]:
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        number, write = os.pipe()
        _started(stack, ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp"], os.environ, pass_fds=(write,))
        os.close(write)
        with os.fdopen(number) as line:
            display = line.readline().strip()
        environ = {**_plain(folder), "DISPLAY": f":{display}"}
        session = stack.enter_context(_terminal(folder, environ))
        _started(stack, ["xterm", "-u8", "-e", str(folder / "read")], environ)
        assert session.line() == "ready"
        found = _said(["xdotool", "search", "--sync", "--onlyvisible", "--class", "xterm"], environ)
        _said(["xdotool", "windowfocus", "--sync", found.split()[0]], environ)
        yield session


@contextmanager
def wayland() -> Iterator[Session]:
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        headless = {"WLR_BACKENDS": "headless", "WLR_LIBINPUT_NO_DEVICES": "1", "WLR_RENDERER": "pixman"}
        environ = {**_plain(folder), **headless, "XDG_CURRENT_DESKTOP": "sway"}
        session = stack.enter_context(_terminal(folder, environ))
        name = f"sh -c 'echo \"$WAYLAND_DISPLAY\" > {folder}/name; exec foot {folder}/read'"
        (folder / "config").write_text(f"output HEADLESS-1 resolution 800x600\nexec {name}\n")
        command = ["sway", "-c", str(folder / "config")]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, int(NOBODY), int(NOBODY))
        _started(stack, command, environ)
        assert session.line() == "ready"
        session.environ = {**environ, "WAYLAND_DISPLAY": (folder / "name").read_text().strip()}
        _started(
            stack, ["wtype", "-s", "3600000", "-k", "Shift_L"], session.environ
        )  # a keyboard that stays plugged in
        _listening(session)
        yield session


def _listening(session: Session) -> None:
    """Type until the terminal hears: its window gets the keyboard some time after its program has begun."""
    end, number, heard = time.monotonic() + PATIENCE_S, 0, ""
    while heard != str(number):
        assert time.monotonic() < end, f"no window takes keys after {PATIENCE_S} s"
        number += 1
        _said(["wtype", str(number), "-k", "Return"], session.environ)
        while heard != str(number) and session.has_line(0.5):
            heard = session.line()  # of this try or of one before, whole or not


def _said(command: list[str], environ: Mapping[str, str]) -> str:
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout


SESSIONS = {"x11": x11, "wayland": wayland}


def _plain(folder: Path) -> dict[str, str]:
    """An environment that knows of no session."""
    ours = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "XDG_CURRENT_DESKTOP", "SWAYSOCK")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that another user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="dictate-session-") as name:
        yield Path(name)


@contextmanager
def _terminal(folder: Path, environ: Mapping[str, str]) -> Iterator[Session]:
    """The program that a terminal runs, and the pipe to which it copies what is typed."""
    os.mkfifo(folder / "typed")
    (folder / "read").write_text(f"#!/bin/sh\nexec > {folder}/typed\necho ready\nexec cat\n")
    (folder / "read").chmod(0o755)
    pipe = os.open(folder / "typed", os.O_RDWR | os.O_NONBLOCK)
    try:
        yield Session(environ, pipe)
    finally:
        os.close(pipe)


def _started(stack: ExitStack, command: list[str], environ: Mapping[str, str], pass_fds: tuple[int, ...] = ()) -> None:
    """Run a program until the stack is undone."""
    process = subprocess.Popen(
        command, env=environ, pass_fds=pass_fds,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
