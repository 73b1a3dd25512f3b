"""Power cuts on a recorded disk: which writes are on the medium when the current goes, and the disk of that moment.

The model is a card with a volatile write cache:

- what was written before the last flush that the record shows complete is on the medium;
- of what was written after it, any part may be: each write alone, in any order, and the last word of a write torn at a
  sector (512 bytes). A write with FUA counts as flushed, unless it is the last.

`plan` picks cut points and decides each one's fate with a seeded generator, so that a failure can be run again.
`outcomes` lists what a cut at one moment can leave, and `moments` the moments for which that has to be asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import BinaryIO

from provisioning.emulator.blocklog import Entry, Kind

SECTOR = 512
ALL_WRITES = 6
"""Up to so many writes that a cut may lose, every combination of them is an outcome of its own."""
ALL_SECTORS = 4
"""Up to so many sectors that a torn write changes, every combination of them is."""
SAMPLED = 8
"""Random combinations where there are more, of writes and of sectors each."""


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


def moments(entries: Sequence[Entry], first: int, last: int) -> list[int]:
    """The cuts between the requests `first` and `last` whose outcomes include those of all the others.

    Until the next flush is answered, whatever an earlier cut can leave is left as well by a later one that loses the
    requests in between. A write with FUA ends being volatile, so it has a moment of its own.
    """
    found = []
    for at in range(first, last + 1):
        ends = at == last or flushed_before(entries, at + 1) != flushed_before(entries, at)
        sure_next = at > 0 and Kind.FUA in entries[at - 1].kind
        if (ends or sure_next) and volatile(entries, at):
            found.append(at)
    return found


def outcomes(entries: Sequence[Entry], at: int, changed: Mapping[int, Sequence[int]], seed: int) -> list[Cut]:
    """What a cut after `at` requests can leave, each outcome once.

    `changed` has, for each volatile write, the sectors of it that differ from what was there: tearing makes a
    difference in those alone. Complete up to `ALL_WRITES` writes and `ALL_SECTORS` sectors of a torn one; beyond that,
    all that lose or keep at most two, every prefix, and some combinations drawn with `seed`.
    """
    choose = random.Random(seed)
    border = flushed_before(entries, at)
    open_writes = volatile(entries, at)
    sure = {place for place in open_writes if Kind.FUA in entries[place].kind and place < at - 1}
    unsure = [place for place in open_writes if place not in sure]
    found: dict[tuple[Survivor, ...], Cut] = {}

    def leave(kept: set[int], torn: int | None = None, sectors: tuple[int, ...] = ()) -> None:
        survivors = tuple(
            Survivor(place, sectors if place == torn else None)
            for place in open_writes
            if place in sure or place in kept or place == torn
        )
        whole = Fate.KEPT if len(kept) == len(unsure) else Fate.SOME if kept else Fate.LOST
        found.setdefault(survivors, Cut(at, border, whole if torn is None else Fate.TORN, survivors))

    for subset in _subsets(unsure, ALL_WRITES, choose):
        leave(set(subset))
    for place in unsure:
        others = [other for other in unsure if other != place]
        before = [other for other in others if other < place]
        for sectors in _subsets(changed[place], ALL_SECTORS, choose):
            if 0 < len(sectors) < len(changed[place]):
                for kept in (others, before, []):
                    leave(set(kept), place, sectors)
    return list(found.values())


def _subsets(items: Sequence[int], complete: int, choose: random.Random) -> set[tuple[int, ...]]:
    """All subsets of up to `complete` items; of more, those described at `outcomes`."""
    if len(items) <= complete:
        return {subset for size in range(len(items) + 1) for subset in combinations(items, size)}
    few = items if len(items) <= 16 else choose.sample(items, 16)
    lost = {subset for size in range(3) for subset in combinations(few, size)}
    found = {tuple(item for item in items if item in some) for some in map(set, lost)}
    found |= {tuple(item for item in items if item not in some) for some in map(set, lost)}
    ends = range(len(items)) if len(items) <= 16 else sorted(choose.sample(range(len(items)), 16))
    found |= {tuple(items[:end]) for end in ends}
    return found | {tuple(item for item in items if choose.random() < 0.5) for _ in range(SAMPLED)}


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
