"""After a power cut: repair the data partition as the next boot does, and read its files without mounting it.

e2fsck and debugfs are e2fsprogs'. e2fsck must not be given an offset into a whole disk: it then refuses to replay the
journal, so everything here works on a file that holds one partition.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from provisioning.vm import card, needs
from provisioning.vm.blocklog import Entry
from provisioning.vm.card import Card, Partition
from provisioning.vm.cuts import Cut, Medium, changes

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
    environment = {**os.environ, "PATH": needs.SEARCH}
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, env=environment)


class Replay:
    """The disks that a recorded machine would have had at its power cuts.

    `image` is the card when recording began, `log` the record and `entries` its parse. `partitions` makes the part
    that is written to, cut after cut, in the order of the cuts: what is flushed is written once only.
    """

    def __init__(self, image: Card, size: int, log: Path, entries: Sequence[Entry]) -> None:
        self._image, self._size, self._log, self._entries = image, size, log, entries

    def partitions(self, cuts: Sequence[Cut], folder: Path) -> Iterator[tuple[Cut, Path]]:
        """For each cut a file with the data partition of that moment, overwritten by the next. `cuts` in order."""
        sure, moment = folder / "flushed.ext4", folder / "moment.ext4"
        part = self._image.data
        card.copy_partition(self._image, part, sure, self._size - part.start)
        done = 0
        with ExitStack() as stack:
            log = stack.enter_context(self._log.open("rb"))
            flushed = stack.enter_context(sure.open("r+b"))
            for cut in cuts:
                medium = Medium(flushed, log, part.start, self._size)
                for entry in self._entries[done : cut.flushed]:
                    if entry.writes:
                        medium.apply(entry)
                done = max(done, cut.flushed)
                flushed.flush()
                _run("cp", "--sparse=always", str(sure), str(moment))
                with moment.open("r+b") as disk:
                    late = Medium(disk, log, part.start, self._size)
                    for survivor in cut.survivors:
                        late.apply(self._entries[survivor.entry], survivor.sectors)
                _fit(moment, self._table_at(cut))
                yield cut, moment

    def card(self, cut: Cut, destination: Path) -> Path:
        """The whole card of that moment, as a raw image to boot from."""
        _run("cp", "--sparse=always", str(self._image.image), str(destination))
        os.truncate(destination, self._size)
        with destination.open("r+b") as disk, self._log.open("rb") as log:
            medium = Medium(disk, log, 0, self._size)
            for entry, sectors in changes(self._entries, cut):
                medium.apply(entry, sectors)
        return destination

    def _table_at(self, cut: Cut) -> Partition:
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


def _fit(file: Path, partition: Partition) -> None:
    os.truncate(file, partition.size)
