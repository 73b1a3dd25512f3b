"""Records of a first start's block writes on the data partition, to cut the power in.

Each was made on 2026-11-28 by booting Linux 6.1 in QEMU from an image that `provisioning.image.disk` had written, on a
card 512 MiB larger: grow-data, mount, online growth of the file system, some folders, six synced lines in a file. The
record begins with the card as it was, as writes up to its first flush.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from pathlib import Path

from provisioning.emulator import blocklog, card
from provisioning.emulator.blocklog import Entry, Kind
from provisioning.emulator.card import Card
from provisioning.emulator.power_loss import Medium
from provisioning.emulator.recovery import Replay

RECORDS = Path(__file__).parents[1] / "provisioning" / "emulator" / "records"
GROWTH = 512 << 20


@dataclass(frozen=True, slots=True)
class FirstStart:
    """A record, and the card that it begins with."""

    entries: list[Entry]
    replay: Replay
    superblock: int
    """Byte of the disk where the block with the data partition's superblock begins."""
    image: Card

    @classmethod
    def read(cls, name: str, folder: Path) -> FirstStart:
        """Unpack records/NAME.log.xz into `folder`."""
        log, image = folder / "writes.log", folder / "card.img"
        log.write_bytes(lzma.decompress((RECORDS / f"{name}.log.xz").read_bytes()))
        with log.open("rb") as stream, image.open("w+b") as disk:
            entries = list(blocklog.entries(stream))
            begun = next(place for place, entry in enumerate(entries) if Kind.FLUSH in entry.kind)
            whole = Medium(disk, stream, 0, 1 << 40)
            for entry in entries[:begun]:
                whole.apply(entry)
            disk.seek(0)
            end = card.table(disk.read(card.SECTOR))[-1].end
            disk.truncate(end)
        found = Card.of(image)
        after = entries[begun + 1 :]
        return cls(after, Replay(found, end + GROWTH, log, after), found.data.start, found)
