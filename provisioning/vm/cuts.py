"""Power cuts on a recorded disk: which writes are on the medium when the current goes, and the disk of that moment.

The model is a card with a volatile write cache:

- what was written before the last flush that the record shows complete is on the medium;
- of what was written after it, any part may be: each write alone, in any order, and the last word of a write torn at a
  sector (512 bytes). A write with FUA counts as flushed, unless it is the last.

`plan` picks cut points and decides each one's fate with a seeded generator, so that a failure can be run again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from provisioning.vm.blocklog import Entry, Kind

SECTOR = 512


class Fate(Enum):
    """What becomes of the writes that no flush has covered."""

    LOST = "all lost"
    KEPT = "all kept"
    SOME = "some kept"
    TORN = "some kept, one torn"


@dataclass(frozen=True, slots=True)
class Survivor:
    """A write that reached the medium, or the sectors of it that did."""

    entry: int
    """Its place in the record."""
    sectors: tuple[int, ...] | None = None
    """None for all of them."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The current goes after `at` requests were issued; `survivors` are those after the last flush that are kept."""

    at: int
    flushed: int
    """Requests before this one are on the medium."""
    fate: Fate
    survivors: tuple[Survivor, ...]


def flushed_before(entries: Sequence[Entry], at: int) -> int:
    """How many of the first `at` requests are surely on the medium: those before the last flush.

    The last request itself may be under way; a flush that is, has promised nothing.
    """
    for place in range(at - 2, -1, -1):
        if Kind.FLUSH in entries[place].kind:
            return place
    return 0


def volatile(entries: Sequence[Entry], at: int) -> list[int]:
    """The writes among the first `at` requests that a cut may lose."""
    return [place for place in range(flushed_before(entries, at), at) if entries[place].writes]


def cut(entries: Sequence[Entry], at: int, fate: Fate, choose: random.Random) -> Cut:
    """Decide the fate of each write that the cut after `at` requests may lose."""
    open_writes = volatile(entries, at)
    sure = {place for place in open_writes if Kind.FUA in entries[place].kind and place < at - 1}
    kept: list[Survivor] = []
    torn = choose.choice(open_writes) if fate is Fate.TORN and open_writes else None
    for place in open_writes:
        sectors = entries[place].size // SECTOR
        if place in sure or fate is Fate.KEPT:
            kept.append(Survivor(place))
        elif place == torn:
            some = tuple(sector for sector in range(sectors) if choose.random() < 0.5)
            kept.append(Survivor(place, some))
        elif fate in (Fate.SOME, Fate.TORN) and choose.random() < 0.5:
            kept.append(Survivor(place))
    return Cut(at, flushed_before(entries, at), fate, tuple(kept))


def plan(entries: Sequence[Entry], first: int, last: int, count: int, seed: int) -> list[Cut]:
    """`count` different cuts between the requests `first` and `last`, in order; fewer if there are not so many.

    Moments at which something can be lost come first; every fate has its turn.
    """
    choose = random.Random(seed)
    moments = [at for at in range(first, last + 1) if volatile(entries, at)]
    fates = list(Fate)
    wanted = [(at, fate) for at in moments for fate in fates]
    choose.shuffle(wanted)
    wanted.sort(key=lambda pair: len(volatile(entries, pair[0])) < 2 and pair[1] in (Fate.SOME, Fate.TORN))
    found: dict[tuple[int, int, tuple[Survivor, ...]], Cut] = {}
    for at, fate in wanted:
        if len(found) == count:
            break
        made = cut(entries, at, fate, choose)
        found.setdefault((made.at, made.flushed, made.survivors), made)
    return sorted(found.values(), key=lambda made: (made.at, made.fate.value))


def changes(entries: Sequence[Entry], made: Cut) -> Iterator[tuple[Entry, tuple[int, ...] | None]]:
    """What must be written onto the disk as it was when recording began, in order: requests and their sectors."""
    for place in range(made.flushed):
        if entries[place].writes:
            yield entries[place], None
    for survivor in made.survivors:
        yield entries[survivor.entry], survivor.sectors


class Medium:
    """The part of a disk from byte `start` to `end`, as a file: apply requests of a record to it.

    A discard is taken for zeros, which is the worst that it may mean.
    """

    def __init__(self, disk: BinaryIO, log: BinaryIO, start: int, end: int) -> None:
        self._disk, self._log, self._start, self._end = disk, log, start, end

    def apply(self, entry: Entry, sectors: tuple[int, ...] | None = None) -> None:
        """Write a request, or the given sectors of it, as far as it lies within the part."""
        if Kind.DISCARD in entry.kind:
            data = bytes(entry.size)
        else:
            self._log.seek(entry.data_at)
            data = self._log.read(entry.data_size)
        if sectors is None:
            self._write(entry.offset, data)
            return
        for sector in sectors:
            self._write(entry.offset + sector * SECTOR, data[sector * SECTOR : (sector + 1) * SECTOR])

    def _write(self, offset: int, data: bytes) -> None:
        low, high = max(offset, self._start), min(offset + len(data), self._end)
        if low < high:
            self._disk.seek(low - self._start)
            self._disk.write(data[low - offset : high - offset])
