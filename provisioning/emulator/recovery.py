"""After a power cut: repair the data partition as the next boot does, and read its files without mounting it.

e2fsck and debugfs are e2fsprogs'. e2fsck must not be given an offset into a whole disk: it then refuses to replay the
journal, so everything here works on a file that holds one partition.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioning.common import process
from provisioning.emulator import card, power_loss, preflight
from provisioning.emulator.blocklog import Entry
from provisioning.emulator.card import Card, CardPartition
from provisioning.emulator.power_loss import SECTOR, Cut, Medium, Survivor, changes

HARMLESS = re.compile(
    r"recovering journal|^Pass \d|^Setting free (inodes|blocks) count|Free (inodes|blocks) count wrong"
    r"|Clearing orphaned inode|[Oo]rphan(ed)? inode|^Truncating|clean, |\d+/\d+ files|^$",
)
"""What e2fsck may say about a sound file system that was not unmounted: it replays the journal, finishes deletions that
the kernel had listed as unfinished, and counts what is free, a number that ext4 keeps loosely."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What the check of a file system found."""

    status: int
    """e2fsck's exit status with -p, as at boot: 0 or 1 is sound, 4 and more is not."""
    beyond: tuple[str, ...]
    """What it said beyond replaying the journal and counting."""
    again: int
    """Exit status of a complete check, changing nothing, after that: 0 is clean."""

    @property
    def clean(self) -> bool:
        """Whether the file system was sound but for its journal, and is clean now."""
        return self.status in (0, 1) and not self.beyond and self.again == 0


def repair(partition: Path) -> Repair:
    """Check an ext4 file system in a file as the boot does, all of it, then check that nothing is left."""
    first = _run("e2fsck", "-f", "-p", str(partition))
    again = _run("e2fsck", "-f", "-n", str(partition))
    said = [line.split(": ", 1)[-1].strip() for line in (first.stdout + first.stderr).splitlines()]
    return Repair(first.returncode, tuple(line for line in said if not HARMLESS.search(line)), again.returncode)


def read_folder(partition: Path, folder: str, destination: Path) -> Path:
    """Copy a folder out of an ext4 file system in a file; an empty folder if it has none. Returns the copy."""
    destination.mkdir(parents=True, exist_ok=True)
    _run("debugfs", "-R", f"rdump {folder} {destination}", str(partition))
    copy = destination / Path(folder).name
    copy.mkdir(exist_ok=True)
    return copy


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return process.attempt(*words, environment={"PATH": preflight.SEARCH}, timeout_s=120)


class Replay:
    """The disks that a recorded machine would have had at its power cuts.

    `image` is the card when recording began, `log` the record and `entries` its parse. `partitions` makes the part
    that is written to, cut after cut, in the order of the cuts: what is flushed is written once only.
    """

    def __init__(self, image: Card, size: int, log: Path, entries: Sequence[Entry]) -> None:
        self._image, self._size, self._log, self._entries = image, size, log, entries

    def partitions(self, planned: Sequence[Cut], folder: Path) -> Iterator[tuple[Cut, Path]]:
        """For each cut a file with the data partition of that moment, overwritten by the next. `planned` in order."""
        with _Advancing(self._partition(folder), self._log, self._entries, self._image.data.start) as disk:
            for cut in planned:
                disk.advance(cut.flushed)
                yield cut, self._fitted(disk.after(cut), cut)

    def outcomes(self, first: int, last: int, folder: Path, seed: int) -> list[Cut]:
        """All that cuts between the requests `first` and `last` can leave of the data partition, in order.

        See `power_loss.outcomes`; those that differ in other partitions alone are one.
        """
        found: dict[tuple[int | Survivor, ...], Cut] = {}
        with _Advancing(self._partition(folder), self._log, self._entries, self._image.data.start) as disk:
            for at in power_loss.moments(self._entries, first, last):
                disk.advance(power_loss.flushed_before(self._entries, at))
                changed = disk.changed(power_loss.volatile(self._entries, at))
                for cut in power_loss.outcomes(self._entries, at, changed, seed):
                    left = (kept for kept in cut.survivors if changed[kept.entry] or self._is_table(kept.entry))
                    found.setdefault((at, *left), cut)
        return list(found.values())

    def card(self, cut: Cut, destination: Path) -> Path:
        """The whole card of that moment, as a raw image to boot from."""
        _run("cp", "--sparse=always", str(self._image.image), str(destination))
        os.truncate(destination, self._size)
        with destination.open("r+b") as disk, self._log.open("rb") as log:
            medium = Medium(disk, log, 0, self._size)
            for entry, sectors in changes(self._entries, cut):
                medium.apply(entry, sectors)
        return destination

    def _partition(self, folder: Path) -> Path:
        part = self._image.data
        card.copy_partition(self._image, part, folder / "flushed.ext4", self._size - part.start)
        return folder / "flushed.ext4"

    def _fitted(self, partition: Path, cut: Cut) -> Path:
        os.truncate(partition, self._table_at(cut).size)
        return partition

    def _is_table(self, place: int) -> bool:
        return self._entries[place].offset < card.SECTOR

    def _table_at(self, cut: Cut) -> CardPartition:
        """The data partition as the table of that moment has it: the first boot lets it grow."""
        table = self._log.with_suffix(".mbr")
        with self._image.image.open("rb") as image, table.open("w+b") as disk, self._log.open("rb") as log:
            disk.write(image.read(card.SECTOR))
            medium = Medium(disk, log, 0, card.SECTOR)
            for entry, sectors in changes(self._entries, cut):
                if entry.offset < card.SECTOR:
                    medium.apply(entry, sectors)
            disk.seek(0)
            return card.table(disk.read(card.SECTOR))[-1]


class _Advancing:
    """A partition in the file `flushed`, from byte `start` of the recorded disk, that goes on with the record."""

    def __init__(self, flushed: Path, log: Path, entries: Sequence[Entry], start: int) -> None:
        self._path, self._entries, self._start = flushed, entries, start
        self._end = start + flushed.stat().st_size
        self._done = 0
        self._stack = ExitStack()
        self._log = self._stack.enter_context(log.open("rb"))
        self._disk = self._stack.enter_context(flushed.open("r+b"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def advance(self, flushed: int) -> None:
        """Write the requests before that one, which are on the medium."""
        medium = Medium(self._disk, self._log, self._start, self._end)
        for entry in self._entries[self._done : flushed]:
            if entry.writes:
                medium.apply(entry)
        self._done = max(self._done, flushed)
        self._disk.flush()

    def changed(self, places: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """Sectors of each write that differ from what is flushed, or that one of the writes before it may change."""
        written: set[int] = set()
        found = {}
        for place in places:
            entry = self._entries[place]
            after = io.BytesIO(self._there(entry))
            Medium(after, self._log, entry.offset, entry.offset + entry.size).apply(entry)
            old, new = self._there(entry), after.getvalue()
            first = entry.offset // SECTOR
            found[place] = tuple(
                sector
                for sector in range(entry.size // SECTOR)
                if self._start <= entry.offset + sector * SECTOR < self._end
                and (
                    first + sector in written
                    or old[sector * SECTOR : (sector + 1) * SECTOR] != new[sector * SECTOR : (sector + 1) * SECTOR]
                )
            )
            written.update(first + sector for sector in found[place])
        return found

    def after(self, cut: Cut) -> Path:
        """A copy with what survived of the rest."""
        moment = self._path.with_name("moment.ext4")
        _run("cp", "--sparse=auto", str(self._path), str(moment))
        with moment.open("r+b") as disk:
            late = Medium(disk, self._log, self._start, self._end)
            for survivor in cut.survivors:
                late.apply(self._entries[survivor.entry], survivor.sectors)
        return moment

    def _there(self, entry: Entry) -> bytes:
        """What is flushed where a request writes; zeros outside of the partition."""
        low, high = max(entry.offset, self._start), min(entry.offset + entry.size, self._end)
        if low >= high:
            return bytes(entry.size)
        self._disk.seek(low - self._start)
        held = self._disk.read(high - low)
        return bytes(low - entry.offset) + held + bytes(entry.offset + entry.size - high)
