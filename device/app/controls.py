"""What asks a listening `dictate live` to begin and end: keys of its terminal, and other programs over a socket.

A terminal tells that a key was pressed and not that it was let go, so a key there begins or ends. Whoever binds both
ends of a press to `dictate toggle --start` and `--stop` holds it to talk.

The socket lies in the user's runtime folder, which nobody else can enter. A client sends one word and gets a line.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from device.app.ports import ControlRequest, Input, Outcome, StopRequested
from models.errors import UserError

Put = Callable[[Input], object]

KEYS: dict[bytes, Input] = {
    b" ": ControlRequest.TOGGLE,
    b"\r": ControlRequest.TOGGLE,
    b"\n": ControlRequest.TOGGLE,
    b"\x7f": ControlRequest.DELETE,
    b"\x08": ControlRequest.DELETE,
    b"q": StopRequested(Outcome.STOP),
    b"\x04": StopRequested(Outcome.STOP),
}
"""Space and Enter begin and end, Backspace deletes the last dictation, q and Ctrl-D leave."""

QUIT = StopRequested(Outcome.STOP)

WORDS: dict[str, Input] = {**{request.value: request for request in ControlRequest}, "quit": QUIT}
"""What a client may send."""

LONGEST = 64
"""Bytes that a client may send."""

CLIENT_S = 1.0
"""A client is waited for so long."""


def ask(path: Path, word: str) -> None:
    """Send one of `WORDS` to who listens at `path`. UserError where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5 * CLIENT_S)
        try:
            client.connect(str(path))
            client.sendall(f"{word}\n".encode())
            answer = client.recv(LONGEST).decode(errors="replace").strip()
        except (FileNotFoundError, ConnectionRefusedError):
            raise UserError("no `dictate live` runs for this user; start one first") from None
        except OSError as error:
            raise UserError(f"{path}: `dictate live` does not answer ({error.strerror or error})") from None
    if answer != "ok":
        raise UserError(f"{path}: `dictate live` answered {answer!r}")


@contextmanager
def controls(put: Put, path: Path, terminal: TextIO | None = None) -> Iterator[None]:
    """Put what clients at `path` ask for, and keys of `terminal`, while the block runs.

    UserError where another process listens there, or nobody can.
    """
    with ExitStack() as stack:
        server = stack.enter_context(_listening(path))
        keys = stack.enter_context(_keys(terminal)) if terminal is not None and takes_keys(terminal) else None
        ended, end = os.pipe()
        stack.callback(os.close, ended)
        thread = threading.Thread(target=_run, args=(put, server, keys, ended), name="controls", daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(os.close, end)  # comes first: the stack is undone from its end
        yield


def takes_keys(terminal: TextIO) -> bool:
    """Whether this process may read single keys of a terminal: it is one, and this is its foreground process."""
    try:
        return os.isatty(terminal.fileno()) and os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _run(put: Put, server: socket.socket, keys: int | None, ended: int) -> None:
    with selectors.DefaultSelector() as selector:
        for source in filter(lambda source: source is not None, (server, keys, ended)):
            selector.register(source, selectors.EVENT_READ)  # type: ignore[arg-type]
        while True:
            for ready, _ in selector.select():
                if ready.fileobj == ended:
                    return
                if ready.fileobj is server:
                    _serve(server, put)
                elif not _press(ready.fd, put):
                    selector.unregister(ready.fd)


def _press(keys: int, put: Put) -> bool:
    """Take keys that were pressed; False when the terminal is gone."""
    try:
        pressed = os.read(keys, LONGEST)
    except BlockingIOError:
        return True  # Ctrl-C made the kernel drop what had been typed before it (termios(3), NOFLSH)
    except OSError:
        pressed = b""
    if pressed in KEYS:  # a longer sequence is an arrow, or pasted text
        put(KEYS[pressed])
    return bool(pressed)


def _serve(server: socket.socket, put: Put) -> None:
    client, _ = server.accept()
    with client:
        client.settimeout(CLIENT_S)
        try:
            word = client.recv(LONGEST).decode(errors="replace").strip()
            if word in WORDS:
                put(WORDS[word])
            client.sendall(b"ok\n" if word in WORDS else b"unknown\n")
        except OSError:
            return


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_stale(path)
            server.bind(str(path))
            path.chmod(0o600)
            server.listen()
        except OSError as error:
            raise UserError(
                f"{path}: no socket for `dictate toggle` ({error.strerror or error}); set XDG_RUNTIME_DIR to a folder "
                "of your own"
            ) from None
        try:
            yield server
        finally:
            path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.settimeout(CLIENT_S)
        try:
            other.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise UserError("another `dictate live` runs already; `dictate toggle --quit` ends it")


@contextmanager
def _keys(terminal: TextIO) -> Iterator[int]:
    """A descriptor of the terminal, giving each key as it is pressed and showing none; Ctrl-C stays Ctrl-C.

    It never blocks, and is this process's own: that of standard input is shared with the shell.
    """
    descriptor = terminal.fileno()
    before = termios.tcgetattr(descriptor)
    own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        yield own
    finally:
        os.close(own)
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        sys.stdout.flush()
