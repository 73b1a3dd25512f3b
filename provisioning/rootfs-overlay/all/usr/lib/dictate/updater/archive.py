"""Reads a gzipped ustar archive that nobody has vouched for yet, in bounded memory, bytes and time.

The standard library's tarfile reads pax and GNU long-name headers to their end, whatever size they claim, before it
returns a member; a megabyte of them takes gigabytes of memory or minutes. An update needs none: this reader knows
regular files with ustar headers (POSIX.1-1988, pax(1)), and names everything else as irregular.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

HEADER = 512
CHUNK = 1 << 16
GZIP = 16 + zlib.MAX_WBITS


class ArchiveError(Exception):
    """The archive is damaged, something else, or beyond its bounds; the text says which, in a few words."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a header says; `regular` is False for links, devices, folders and extended headers."""

    name: str
    size: int
    regular: bool


class Archive:
    """The members of one gzip stream, in order.

    Unpacks `largest` bytes at most, and raises ArchiveError when `clock` (seconds) passes what `allow` gave.
    """

    def __init__(self, file: IO[bytes], largest: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._left, self._clock = file, largest, clock
        self._gunzip = zlib.decompressobj(GZIP)
        self._deadline = clock()
        self._content = self._padding = 0

    def allow(self, seconds: float) -> None:
        """From now on, reading may take so long."""
        self._deadline = self._clock() + seconds

    def next(self) -> Member | None:
        """The next member's header; what was left of the last one's content is skipped. None at the end."""
        for _ in self.blocks():
            pass
        self._read(self._padding)
        self._padding = 0
        header = self._read(HEADER)
        if header == bytes(HEADER):
            return None
        member = _parsed(header)
        self._content, self._padding = member.size, -member.size % HEADER
        return member

    def blocks(self) -> Iterator[bytes]:
        """The content of the member that `next` returned last."""
        while self._content:
            block = self._read(min(CHUNK, self._content))
            self._content -= len(block)
            yield block

    def _read(self, size: int) -> bytes:
        if size > self._left:
            raise ArchiveError("larger than an update may be")
        self._left -= size
        found = bytearray()
        while len(found) < size:
            if self._clock() > self._deadline:
                raise ArchiveError("takes too long to unpack")
            packed = self._gunzip.unconsumed_tail or self._file.read(CHUNK)
            try:
                unpacked = self._gunzip.decompress(packed, size - len(found))
            except zlib.error as error:
                raise ArchiveError(str(error)) from None
            if (not packed and not unpacked) or (self._gunzip.eof and len(found) + len(unpacked) < size):
                raise ArchiveError("cut short")
            found += unpacked
        return bytes(found)


def _parsed(header: bytes) -> Member:
    if header[257:265] != b"ustar\x0000":
        raise ArchiveError("no ustar header")
    if _octal(header[148:156]) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise ArchiveError("a header's checksum is wrong")
    name, prefix = (header[begin:end].partition(b"\0")[0] for begin, end in ((0, 100), (345, 500)))
    whole = (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")
    return Member(whole, _octal(header[124:136]), header[156:157] in (b"0", b"\0"))


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise ArchiveError("a header's number is not octal")
    return int(digits, 8)
