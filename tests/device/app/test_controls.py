"""What begins and ends dictating at a desktop: keys of a real terminal, and a real socket."""

from __future__ import annotations

import os
import pty
import socket
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import TextIO

import pytest

from device.app.controls import ask, controls
from device.app.ports import ControlRequest, Input, Outcome, StopRequested
from models.errors import UserError


@pytest.fixture
def inbox() -> SimpleQueue[Input]:
    return SimpleQueue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "live"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, object]]:
    """Our end and theirs; the test is not its foreground process, which `takes_keys` asks for."""
    ours, theirs = pty.openpty()
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())
    with os.fdopen(theirs) as stream:
        yield ours, stream
    os.close(ours)


def test_each_word_of_a_client_is_an_input(inbox: SimpleQueue[Input], path: Path) -> None:
    with controls(inbox.put, path):
        assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0
        for word in ("toggle", "begin", "end", "delete", "quit"):
            ask(path, word)
        with pytest.raises(UserError, match="answered 'unknown'"):
            ask(path, "sudo")
    assert [inbox.get(timeout=5) for _ in range(5)] == [*ControlRequest, StopRequested(Outcome.STOP)]
    assert inbox.empty() and not path.exists()


def test_without_anybody_who_listens_the_next_step_is_named(path: Path) -> None:
    with pytest.raises(UserError, match="no `dictate live` runs for this user; start one first"):
        ask(path, "toggle")


def test_a_socket_left_behind_is_taken_and_one_in_use_is_not(inbox: SimpleQueue[Input], path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(UserError, match="no `dictate live` runs"):
        ask(path, "toggle")
    with controls(inbox.put, path):
        with pytest.raises(UserError, match="another `dictate live` runs already"), controls(inbox.put, path):
            pass
        ask(path, "toggle")
    assert inbox.get(timeout=5) is ControlRequest.TOGGLE


def test_a_client_that_says_nothing_holds_nobody_up(inbox: SimpleQueue[Input], path: Path) -> None:
    with controls(inbox.put, path):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
        ask(path, "toggle")
    assert inbox.get(timeout=5) is ControlRequest.TOGGLE


def test_keys_are_read_one_by_one_and_the_terminal_is_put_back(
    inbox: SimpleQueue[Input], path: Path, terminal: tuple[int, object]
) -> None:
    ours, stream = terminal
    before = termios.tcgetattr(ours)
    with controls(inbox.put, path, stream):  # type: ignore[arg-type]
        assert not termios.tcgetattr(ours)[3] & (termios.ECHO | termios.ICANON)
        assert termios.tcgetattr(ours)[3] & termios.ISIG, "Ctrl-C is still Ctrl-C"
        for key, meant in (
            (b" ", ControlRequest.TOGGLE),
            (b"\x7f", ControlRequest.DELETE),
            (b"q", StopRequested(Outcome.STOP)),
        ):
            os.write(ours, key)
            assert inbox.get(timeout=5) == meant
        os.write(ours, b"\x1b[A")  # an arrow means nothing, the next key does
        os.write(ours, b"\n")
    assert termios.tcgetattr(ours) == before


def test_a_folder_that_is_not_ours_is_one_line(inbox: SimpleQueue[Input]) -> None:
    with (
        pytest.raises(UserError, match=r"no socket for `dictate toggle`.*XDG_RUNTIME_DIR"),
        controls(inbox.put, Path("/proc/none/live")),
    ):
        pass


def test_keys_that_ctrl_c_dropped_are_not_waited_for(
    inbox: SimpleQueue[Input], terminal: tuple[int, TextIO], path: Path
) -> None:
    """The kernel may drop what was typed after it was seen and before it is read: the end must not wait for more."""
    ours, theirs = terminal
    reading, begun = os.read, threading.Event()

    def dropped(descriptor: int, count: int) -> bytes:
        if os.isatty(descriptor):
            termios.tcflush(theirs, termios.TCIFLUSH)
            begun.set()
        return reading(descriptor, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", dropped)
        with controls(inbox.put, path, theirs):
            os.write(ours, b"\x7f")
            try:
                assert begun.wait(60)
                ask(path, "toggle")
                assert inbox.get(timeout=60) is ControlRequest.TOGGLE
            finally:
                os.write(ours, b"x")  # ends a read that waits, so that a failure is one
    assert inbox.empty()
