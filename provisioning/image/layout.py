"""Where the partitions of the card lie, and the names and numbers that they are known by.

    p1  FAT32  DICTATE      what the board's firmware reads, and the user's configuration
    p2  ext4   RASPIROOT    the system, read-only
    p3  ext4   DICTATEDATA  what the appliance keeps; grows to the card's end at first boot

An MBR, because every Raspberry Pi's boot loader reads it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from models.errors import UserError

MIB = 1 << 20
SECTOR = 512
ALIGNMENT = 4 * MIB
"""Of each partition: the erase blocks of SD cards are of this order (SD Association, physical layer, AU size)."""
BLOCK = 4096
INODE = 256
NAMESPACE = uuid.UUID("6f1d5b0e-2b1c-5a53-9f37-0f6a3f4d9a11")


@dataclass(frozen=True, slots=True)
class Partition:
    """A stretch of the card, in bytes, and its type in the MBR."""

    label: str
    start: int
    size: int
    type: str

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """The three partitions.

    >>> [(p.label, p.start // MIB, p.size // MIB) for p in Layout.of(root=300 * MIB).partitions]
    [('DICTATE', 4, 256), ('RASPIROOT', 260, 300), ('DICTATEDATA', 560, 64)]
    """

    firmware: Partition
    root: Partition
    data: Partition

    @classmethod
    def of(cls, root: int, firmware: int = 256 * MIB, data: int = 64 * MIB) -> Layout:
        """Lay partitions of at least these sizes, in bytes, one after the other."""
        boot = Partition("DICTATE", ALIGNMENT, up(firmware), "c")
        system = Partition("RASPIROOT", boot.end, up(root), "83")
        layout = cls(boot, system, Partition("DICTATEDATA", system.end, up(data), "83"))
        if layout.size // SECTOR >= 1 << 32:
            raise UserError("the image would be larger than 2 TiB, which an MBR cannot describe")
        return layout

    @property
    def partitions(self) -> tuple[Partition, Partition, Partition]:
        """In their order on the card."""
        return self.firmware, self.root, self.data

    @property
    def size(self) -> int:
        """Of the whole image, in bytes."""
        return self.data.end

    def script(self, disk_id: str) -> str:
        """What sfdisk(8) reads to make it; `disk_id` is eight hexadecimal digits."""
        lines = [f"start={p.start // SECTOR}, size={p.size // SECTOR}, type={p.type}" for p in self.partitions]
        return "\n".join(["label: dos", f"label-id: 0x{disk_id}", f"{lines[0]}, bootable", *lines[1:], ""])


@dataclass(frozen=True, slots=True)
class Names:
    """The identifiers of disk and file systems, made from a hash, so that the same content has the same ones."""

    digest: str

    @property
    def disk(self) -> str:
        """The MBR's signature."""
        return self.digest[:8]

    @property
    def volume(self) -> str:
        """The FAT's serial number."""
        return self.digest[8:16]

    def uuid(self, of: str) -> str:
        """A UUID for the thing called `of`."""
        return str(uuid.uuid5(NAMESPACE, f"{self.digest} {of}"))


def up(size: int, to: int = ALIGNMENT) -> int:
    """The next multiple.

    >>> up(1, 4), up(8, 4)
    (4, 8)
    """
    return -(-size // to) * to


def ext4_size(content: int, entries: int) -> int:
    """Bytes that an ext4 needs for `content` bytes of blocks and `entries` files: inodes, journal and some room."""
    return up(int((content + entries * INODE) * 1.06) + 24 * MIB)
