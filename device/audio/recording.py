"""How a recording's file begins and ends, where libsndfile does not say: lengths in headers, and what is there.

libsndfile reads as much of a file as there is and calls that the end. So a file that was cut short, one whose length
was never written, and one without any sound look alike to it; here they are told apart by their headers.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path

UNKNOWN_LENGTH = 0x7FFF_0000
"""Lengths from here on are what programs write that do not know yet: a pipe cannot be gone back into."""

TAIL = 1 << 16
"""Bytes at the end of an Ogg file in which its last page begins: no page is longer."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where the sound lies in a file, in bytes."""

    start: int
    declared: int | None
    """Its length as the header has it; None where the header leaves it open."""
    there: int
    """What there is from `start` to the end of the file."""
    length_at: int = 0
    """Where a WAV file's 4-byte length stands."""

    @property
    def cut(self) -> bool:
        """Whether there is less than the header says (a padding byte may be missing)."""
        return self.declared is not None and self.there + 1 < self.declared


def extent(stream: io.BufferedIOBase) -> Extent | None:
    """The extent of the sound in a WAV, RF64, Wave64, AIFF or AU file; None for other files and for headers cut short.

    >>> wav = struct.pack("<4sI4s4sI16s4sI", b"RIFF", 40, b"WAVE", b"fmt ", 16, bytes(16), b"data", 8) + b"1234"
    >>> extent(io.BytesIO(wav))
    Extent(start=44, declared=8, there=4, length_at=40)
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RF64") and form == b"WAVE":
        return _chunks(stream, size, "<", b"data")
    if kind == b"RIFX" and form == b"WAVE":
        return _chunks(stream, size, ">", b"data")
    if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _chunks(stream, size, ">", b"SSND")
    if kind == b"riff":
        return _wave64(stream, size)
    if kind in (b".snd", b"dns.") and len(head) == 12:
        start, declared = struct.unpack(">II" if kind == b".snd" else "<II", head[4:])
        return Extent(start, None if declared >= UNKNOWN_LENGTH else declared, max(0, size - start))
    return None


def _chunks(stream: io.BufferedIOBase, size: int, order: str, sound: bytes) -> Extent | None:
    at, long = 12, None
    while at + 8 <= size:
        stream.seek(at)
        name, length = struct.unpack(f"{order}4sI", stream.read(8))
        if name == b"ds64" and length >= 16:
            long = struct.unpack("<Q", stream.read(16)[8:])[0]
        if name == sound:
            declared = long if length == 0xFFFF_FFFF and long else length
            known = declared is long or declared < UNKNOWN_LENGTH
            return Extent(at + 8, declared if known else None, size - at - 8, at + 4)
        at += 8 + length + length % 2
    return None


def _wave64(stream: io.BufferedIOBase, size: int) -> Extent | None:
    at = 40
    while at + 24 <= size:
        stream.seek(at)
        name, length = struct.unpack("<16sQ", stream.read(24))
        if name.startswith(b"data"):
            return Extent(at + 24, max(0, length - 24), size - at - 24)
        at += max(24, length + -length % 8)
    return None


def outgrown(stream: io.BufferedIOBase, sound: Extent) -> bool:
    """Whether more sound lies behind a WAV file's declared end than before it: its length was never written."""
    if not sound.length_at or sound.declared is None or sound.there < 2 * sound.declared + 1:
        return False
    return not _is_chunks(stream, sound.start + sound.declared + sound.declared % 2)


def _is_chunks(stream: io.BufferedIOBase, start: int) -> bool:
    """Whether what follows from `start` to the end is whole chunks of a WAV file, so no sound."""
    size = stream.seek(0, os.SEEK_END)
    while start + 8 <= size:
        stream.seek(start)
        name, length = struct.unpack("<4sI", stream.read(8))
        if not all(32 <= byte < 127 for byte in name):
            return False
        start += 8 + length + length % 2
    return start - 1 <= size <= start


def ogg_ends(stream: io.BufferedIOBase) -> bool:
    """Whether an Ogg file ends with a whole page that is marked as a stream's last (RFC 3533)."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - TAIL))
    tail = stream.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    segments = tail[at + 26]
    end = at + 27 + segments + sum(tail[at + 27 : at + 27 + segments])
    return bool(tail[at + 5] & 4) and end <= len(tail)


class WithoutLength(io.FileIO):
    """A WAV file whose length is read as "to the end", by the number that libsndfile takes for that."""

    def __init__(self, path: Path, length_at: int) -> None:
        super().__init__(path)
        self._at = length_at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from the file, with the length in its place."""
        begin = self.tell()
        count = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for index in range(max(begin, self._at), min(begin + count, self._at + 4)):
            view[index - begin] = 0xFF
        return count
