"""Checked lines in a folder of numbered files: append, sync, rotate, repair after a power cut.

Each line is a JSON object whose last member is the CRC-32 of the rest, so that a line cut short or never
written out is told from a whole one.

>>> decode(encode({"id": 1, "text": "hello"}))
{'id': 1, 'text': 'hello'}
>>> decode(encode({"id": 1, "text": "hello"})[:-9]) is None
True
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.errors import UserError

TAIL = 1 << 18
"""Bytes at the end of the newest file that are checked when it is opened."""

Line = dict[str, Any]


class Locked(UserError):
    """Another process writes to this folder."""


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as one line, its newline included."""
    body = _json(record)
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def decode(line: bytes) -> Line | None:
    """The record of a line, or None if the line is not as it was written."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not line.endswith(b"\n"):
        return None
    crc = record.pop("crc", None)
    return record if crc == f"{zlib.crc32(_json(record)):08x}" else None


def files(folder: Path) -> list[Path]:
    """The files of a folder, oldest first."""
    return sorted(folder.glob("journal-*.jsonl"))


def read(folder: Path) -> Iterator[Line]:
    """Every whole line of a folder, oldest first; damaged ones are passed over. Takes no lock."""
    for file in files(folder):
        try:
            with file.open("rb") as stream:
                yield from (record for line in stream if (record := decode(line)) is not None)
        except FileNotFoundError:
            continue


class JsonlLog:
    """Appends lines to the newest file of `folder`; made by one process at a time.

    Opening it moves the damaged end that a power cut left to a file ``.damaged`` beside it.
    A file of `max_bytes` is followed by a new one; the oldest beyond `keep` finished files are removed.

    `repaired` counts the bytes moved. Raises :class:`Locked` or OSError.
    """

    def __init__(self, folder: Path, max_bytes: int, keep: int) -> None:
        self.folder, self.max_bytes, self.keep = folder, max_bytes, keep
        self.repaired = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Locked(f"{folder}: in use by another dictate; stop it first") from None
        self._fd = -1
        self._size = 0
        self._open()

    def tail(self) -> list[Line]:
        """The records near the end of the newest two files, oldest first."""
        found: list[Line] = []
        for file in files(self.folder)[-2:]:
            found += [record for record, _ in _whole_lines(file)]
        return found

    def append(self, data: bytes, sync: bool) -> None:
        """Write whole lines after the last one; on return with `sync` they survive a power cut.

        After any OSError the file is as it was before, or is brought back to that by the next call.
        """
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(data) > self.max_bytes:
            self._start_file()
        try:
            os.ftruncate(self._fd, self._size)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            if sync:
                os.fdatasync(self._fd)
        except OSError:
            self._undo()
            raise
        self._size += len(data)

    def close(self) -> None:
        """Sync, close and let another process write here."""
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
        self._fd = -1
        os.close(self._lock)

    def _open(self) -> None:
        existing = files(self.folder)
        if not existing:
            self._start_file()
            return
        newest = existing[-1]
        self._fd = os.open(newest, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        size = os.fstat(self._fd).st_size
        lines = _whole_lines(newest)
        self._size = lines[-1][1] if lines else 0
        if self._size < size:
            self._repair(newest, size)

    def _repair(self, file: Path, size: int) -> None:
        with file.open("rb") as stream, file.with_suffix(".damaged").open("ab") as damaged:
            stream.seek(self._size)
            damaged.write(stream.read())
            damaged.flush()
            os.fsync(damaged.fileno())
        os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)
        self.repaired += size - self._size

    def _start_file(self) -> None:
        existing = files(self.folder)
        number = int(existing[-1].stem.partition("-")[2]) + 1 if existing else 1
        fd = os.open(
            self.folder / f"journal-{number:08}.jsonl",
            os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )
        if self._fd >= 0:
            os.fdatasync(self._fd)
            os.close(self._fd)
        self._fd, self._size = fd, 0
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        for old in existing[: max(0, len(existing) - self.keep)]:
            old.unlink(missing_ok=True)

    def _undo(self) -> None:
        with contextlib.suppress(OSError):  # append() truncates again before it writes
            os.ftruncate(self._fd, self._size)


def _json(record: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(record, separators=(",", ":")).encode()


def _whole_lines(file: Path) -> list[tuple[Line, int]]:
    """Whole lines near a file's end (of all of it if that has none), each with the offset after it."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        for start in (max(0, size - TAIL), 0):
            stream.seek(start)
            if start:
                stream.readline()
            found = []
            for line in stream:
                if (record := decode(line)) is not None:
                    found.append((record, stream.tell()))
            if found:
                return found
    return []
