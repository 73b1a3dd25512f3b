"""What happens in the appliance, as it happens: JSON lines on a Unix socket for everyone who may open it.

Each line is an object whose "event" says what it is:

    state     {"states": ["ready"], "status": "ready; 3 dictations, ..."}
    partial   {"stable": "words that stay", "tail": "words that may change"}; recogniser's words, not yet written text
    segment   {"id": 7, "time": 1764342000.0, "delete": 0, "text": "Hello."}: an edit as it was kept and typed
    level     {"dbfs": -31.5}: root mean square of the last chunk, 0 = full scale
    battery   {"watts": 4.1, "volts": 3.9, "percent": 71.0, "celsius": 52.0}; null is what is not measured

A new reader gets the last state and battery first. Publishing never waits: a reader that does not keep up is
dropped, and may connect again.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     feed = Feed(Path(folder, "feed"))
...     feed.publish("state", states=["ready"])
...     lines = follow(Path(folder, "feed"))
...     first = next(lines)
...     lines.close()
...     feed.close()
>>> first
{'event': 'state', 'states': ['ready']}
"""

from __future__ import annotations

import contextlib
import grp
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from models.errors import UserError

log = logging.getLogger(__name__)

READERS = 8
"""Readers at once; more are turned away."""

BACKLOG = 1 << 18
"""Bytes that may wait for a reader before it is dropped."""

LARGEST = 1 << 16
"""Bytes of one line."""

LASTING = ("state", "battery")
"""Events of which a new reader gets the last one."""

MODE = 0o660


class FeedError(UserError):
    """The feed cannot be opened or read."""


class Feed:
    """The publishing end. `publish` may be called from any thread and never waits."""

    def __init__(self, path: Path, group: str = "") -> None:
        """Listen at `path`, readable for the owner and for `group`, if there is such a group. Raises FeedError."""
        self._path = path
        self._lock = threading.Lock()
        self._readers: list[socket.socket] = []
        self._last: dict[str, bytes] = {}
        self._listener = _listener(path, group)
        self._thread = threading.Thread(target=self._take_readers, name="feed", daemon=True)
        self._thread.start()

    @property
    def read(self) -> bool:
        """Whether anybody reads: what is costly to compute need not be computed for nobody."""
        return bool(self._readers)

    def publish(self, event: str, **values: Any) -> None:
        """Send an event to every reader; drop those that do not keep up."""
        line = json.dumps({"event": event, **values}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        with self._lock:
            if event in LASTING:
                self._last[event] = line
            self._readers = [reader for reader in self._readers if _sent(reader, line)]

    def close(self) -> None:
        """Let every reader go and remove the socket."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join()
        self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        with self._lock:
            for reader in self._readers:
                reader.close()
            self._readers = []

    def _take_readers(self) -> None:
        while True:
            try:
                reader, _ = self._listener.accept()
            except OSError:
                return
            reader.setblocking(False)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BACKLOG)
            with self._lock:
                known = b"".join(self._last[event] for event in LASTING if event in self._last)
                if len(self._readers) >= READERS or not _sent(reader, known):
                    reader.close()
                else:
                    self._readers.append(reader)


def open_feed(path: Path, group: str, warn: Callable[[str], object]) -> Feed | None:
    """A feed, or None and a line for `warn`: dictation does without."""
    try:
        return Feed(path, group)
    except FeedError as error:
        warn(str(error))
        return None


def follow(path: Path) -> Generator[dict[str, Any], None, None]:
    """The events at `path` until the appliance ends or drops this reader. Raises FeedError."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError as error:
            raise unreachable(path, error) from None
        with connection.makefile("rb") as lines:
            while line := lines.readline(LARGEST):
                if (event := parse(line)) is not None:
                    yield event


def unreachable(path: Path, error: OSError) -> FeedError:
    """Why there is no feed at `path`, and what to do."""
    if isinstance(error, PermissionError):
        return FeedError(f"{path}: not permitted; run as root or as a member of the group feed.group")
    return FeedError(f"{path}: {error.strerror or error}; is `dictate run` running, with feed.enabled = true?")


def parse(line: bytes) -> dict[str, Any] | None:
    """An event, None for what is none.

    >>> parse(b'{"event":"level","dbfs":-30.0}')
    {'event': 'level', 'dbfs': -30.0}
    >>> parse(b'{"dbfs":') is parse(b"[1]") is parse(b'{"dbfs":-30.0}') is None
    True
    """
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _listener(path: Path, group: str) -> socket.socket:
    """A listening socket that appears at `path` with its owner and mode, in place of one left from a crash."""
    listener = socket.socket(socket.AF_UNIX)
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        listener.bind(str(beside))
        beside.chmod(MODE)
        _give(beside, group)
        listener.listen(READERS)
        beside.replace(path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            beside.unlink()
        raise FeedError(f"{path}: {error.strerror or error}; no state feed, set feed.socket or feed.enabled") from None
    return listener


def _give(path: Path, group: str) -> None:
    """Hand the socket to a group; where that is not permitted, it stays with the owner's."""
    try:
        wanted = grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        return
    try:
        os.chown(path, -1, wanted)
    except PermissionError:
        log.warning("%s: this user is not in the group %s, which therefore cannot read it", path, group)


def _sent(reader: socket.socket, line: bytes) -> bool:
    """Whether a reader took the whole line at once; it is closed if not."""
    try:
        if reader.send(line) == len(line):
            return True
    except OSError:
        pass
    reader.close()
    return False
