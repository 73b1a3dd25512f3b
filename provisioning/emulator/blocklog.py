"""The record of a disk's block writes, as QEMU's blklogwrites driver and Linux's dm-log-writes keep it.

Little endian (drivers/md/dm-log-writes.c of Linux, block/blklogwrites.c of QEMU): a super block of one sector with
magic, version, number of entries and sector size; then each entry as a header that fills one sector, followed by its
data. A discard has no data, a mark has text.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag
from pathlib import Path
from typing import BinaryIO

from models.errors import UserError

MAGIC = 0x6A_7366_7773_6872
VERSION = 1
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")


class LogError(UserError):
    """The file is no such record, or is damaged."""


class Kind(Flag):
    """The flags of an entry."""

    WRITE = 0
    FLUSH = 1
    """All that was written before reaches the medium first."""
    FUA = 2
    """This write itself reaches the medium before it is acknowledged."""
    DISCARD = 4
    MARK = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, with where its data lies in the record."""

    kind: Kind
    offset: int
    """Byte on the disk where it begins."""
    size: int
    """Bytes of the disk that it is about."""
    data_at: int
    """Byte of the record where its data begins."""
    data_size: int

    @property
    def writes(self) -> bool:
        """Whether it changes the disk."""
        return self.size > 0 and Kind.MARK not in self.kind


@dataclass(frozen=True, slots=True)
class Super:
    """The first sector: how many entries are there, and the size of a sector in bytes."""

    entries: int
    sector: int


def read_super(sector: bytes) -> Super:
    """Parse the first sector. Raises LogError."""
    if len(sector) < SUPER.size:
        raise LogError("the record of block writes is empty: the machine never flushed")
    magic, version, entries, size = SUPER.unpack_from(sector)
    if magic != MAGIC or version != VERSION:
        raise LogError(f"no record of block writes: magic {magic:#x}, version {version}")
    if size < ENTRY.size or size & (size - 1):
        raise LogError(f"a record of block writes with sectors of {size} bytes")
    return Super(entries, size)


def length(path: Path) -> int:
    """How many entries are in the record by now: QEMU brings the number up to date with each flush."""
    with path.open("rb") as stream:
        sector = stream.read(SUPER.size)
    return read_super(sector).entries if sector else 0


def entries(stream: BinaryIO) -> Iterator[Entry]:
    """The entries in the order in which they were issued. Raises LogError for a record that ends too early."""
    head = read_super(stream.read(SUPER.size))
    at = head.sector
    for number in range(head.entries):
        stream.seek(at)
        raw = stream.read(ENTRY.size)
        if len(raw) < ENTRY.size:
            raise LogError(f"the record ends in entry {number} of {head.entries}")
        first, sectors, flags, data = ENTRY.unpack(raw)
        if flags >= 16:
            raise LogError(f"entry {number}: flags {flags:#x}")
        kind = Kind(flags)
        at += head.sector
        stored = 0 if Kind.DISCARD in kind else data if Kind.MARK in kind else sectors * head.sector
        yield Entry(kind, first * head.sector, sectors * head.sector, at, stored)
        at += -(-stored // head.sector) * head.sector
