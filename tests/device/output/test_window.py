"""Typing into the window in front: real programs in real sessions; ydotool, which needs uinput, as it is called."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from window_sessions import SESSIONS, Session

from device.output.journal import JournalEntry
from device.output.window import choice
from device.output.window.sink import Window
from device.output.window.tool import Invocation, Tool
from models.errors import UserError


class Typist:
    """A window sink, fed with edits."""

    def __init__(self, tool: Tool) -> None:
        self.troubles: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.window = Window(tool, self.troubles.put)
        self._ids = count(1)

    def edit(self, delete: int, text: str) -> None:
        self.window.deliver(JournalEntry(next(self._ids), 0.0, "", delete, text))


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with SESSIONS[request.param]() as session:
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "XDG_CURRENT_DESKTOP"):
            monkeypatch.delenv(name, raising=False)
        for name, value in session.environ.items():
            monkeypatch.setenv(name, value)
        yield session


def test_text_and_deletions_arrive_in_the_window_in_front(session: Session) -> None:
    typist = Typist(choice.choose())
    typist.edit(0, "Hello wold")
    typist.edit(2, "rld, 5 %.\n")
    assert session.line() == "Hello world, 5 %."
    typist.edit(0, "--help -k Return $(touch x) `y` ; 'z' \"q\" \\n %s\n")
    assert session.line() == "--help -k Return $(touch x) `y` ; 'z' \"q\" \\n %s"
    if "WAYLAND_DISPLAY" in session.environ:  # on X11 the window would have to be quick
        typist.edit(0, "naïve – 5 €…\n")
        assert session.line() == "naïve – 5 €…"
    typist.edit(0, "-\n\n")
    assert [session.line(), session.line()] == ["-", ""]
    typist.window.close()
    assert typist.troubles.empty()


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ydotool that notes how it is called and what it reads."""
    stub = tmp_path / "bin" / "ydotool"
    stub.parent.mkdir()
    stub.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --help ] && {{ cat {tmp_path}/help 2> /dev/null; exit 0; }}\n'
        f'{{ echo "$@"; [ "$1" = type ] && cat && echo; }} >> {tmp_path}/calls\n'
        "exit 0\n"
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    return tmp_path


def test_ydotool_is_given_key_codes_and_ascii(recorded: Path) -> None:
    typist = Typist(choice.choose("ydotool"))
    typist.edit(0, "Née …")
    typist.edit(1, "--file x\n")
    typist.window.close()
    assert (recorded / "calls").read_text().splitlines() == [
        *("type --file -", "Nee ..."),
        *("key 14:1 14:0 14:1 14:0 14:1 14:0", "type --file -", "--file x", ""),
    ], "the three keys of an ellipsis are taken back"


def test_what_could_not_be_typed_is_told_and_nothing_before_it_is_deleted() -> None:
    asked: list[tuple[int, str]] = []

    def commands(backspaces: int, text: str) -> Iterator[Invocation]:
        asked.append((backspaces, text))
        yield Invocation(("sh", "-c", "echo no socket >&2; exit 2") if text == "lost" else ("true",))

    typist = Typist(Tool("typer", commands))
    for delete, text in ((0, "before"), (2, "lost"), (4, "after"), (1, "x")):
        typist.edit(delete, text)
    assert typist.troubles.get(timeout=30) == "typer: no socket"
    assert typist.troubles.get(timeout=30) is None
    typist.window.close()
    assert asked == [(0, "before"), (2, "lost"), (0, "after"), (1, "x")]


def test_a_program_that_is_gone_is_told() -> None:
    typist = Typist(Tool("gone", lambda backspaces, text: iter([Invocation(("/nonexistent/gone",))])))
    typist.edit(0, "x")
    assert typist.troubles.get(timeout=30) == "gone: No such file or directory"
    typist.window.close()


@pytest.mark.parametrize(
    ("environ", "tool"),
    [
        ({"DISPLAY": ":0"}, "xdotool"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-1"}, "wtype"),
        ({"WAYLAND_DISPLAY": "wayland-1", "XDG_CURRENT_DESKTOP": "ubuntu:GNOME"}, "ydotool"),
        ({"WAYLAND_DISPLAY": "wayland-1", "XDG_CURRENT_DESKTOP": "KDE"}, "ydotool"),
        ({}, "ydotool"),
    ],
)
def test_what_is_missing_is_named_with_its_package(environ: dict[str, str], tool: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tool}, which types in .*, is not installed: .* install {tool}$"):
        choice.choose("auto", {**environ, "PATH": str(tmp_path)})
    with pytest.raises(UserError, match=r"^wtype is not installed"):
        choice.choose("wtype", {**environ, "PATH": str(tmp_path)})


def test_an_old_ydotool_is_refused(recorded: Path) -> None:
    (recorded / "help").write_text("Available commands:\n  type\n  recorder\n")
    with pytest.raises(UserError, match=r"older than 1\.0"):
        choice.choose("ydotool")
