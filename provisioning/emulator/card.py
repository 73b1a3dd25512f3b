"""A card image without mounting it: its MBR partitions, files of its FAT partition, copies of one partition.

card = Card.of(Path("dictate.img"))
print(card.boot, card.data)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.errors import UserError
from provisioning.common import process

SECTOR = 512
ENTRY = struct.Struct("<B3sB3sII")
"""An entry of the MBR's table: status, CHS of the first sector, type, CHS of the last, first sector, sectors."""

CHUNK = 1 << 20


class CardError(UserError):
    """The image is not a card that this repository built."""


@dataclass(frozen=True, slots=True)
class CardPartition:
    """A partition's place, in bytes."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Card:
    """An image file and its partitions, in the order of the table."""

    image: Path
    partitions: tuple[CardPartition, ...]

    @classmethod
    def of(cls, image: Path) -> Self:
        """Read the table of `image`, a raw file. Raises CardError if it has none."""
        with image.open("rb") as stream:
            return cls(image, table(stream.read(SECTOR), image.name))

    @property
    def boot(self) -> CardPartition:
        """The FAT partition."""
        return self.partitions[0]

    @property
    def data(self) -> CardPartition:
        """The one that is written to: the last."""
        return self.partitions[-1]


def table(sector: bytes, name: str = "image") -> tuple[CardPartition, ...]:
    """The primary partitions of a master boot record of 512 bytes. Raises CardError if it is none."""
    if len(sector) != SECTOR or sector[510:] != b"\x55\xaa":
        raise CardError(f"{name}: no partition table; build one with provisioning/build-image")
    entries = (ENTRY.unpack_from(sector, 446 + 16 * place) for place in range(4))
    found = tuple(CardPartition(first * SECTOR, count * SECTOR) for _, _, kind, _, first, count in entries if kind)
    if not found:
        raise CardError(f"{name}: the partition table is empty; build one with provisioning/build-image")
    return found


def _fat(card: Card) -> list[str]:
    return ["-i", f"{card.image}@@{card.boot.start}"]


def boot_files(card: Card) -> list[str]:
    """The names in the root folder of the FAT partition (mtools)."""
    listing = process.run("mdir", *_fat(card), "-b", "::/")
    return [line.removeprefix("::/") for line in listing.splitlines() if line]


def read_file(card: Card, name: str, destination: Path) -> Path:
    """Copy a file out of the FAT partition."""
    process.run("mcopy", *_fat(card), "-n", "-o", f"::/{name}", destination)
    return destination


def write_file(card: Card, name: str, data: bytes) -> None:
    """Write a file into the FAT partition, as any computer with a card reader would."""
    process.run("mcopy", *_fat(card), "-o", "-", f"::/{name}", input=data)


def kernel_and_initrd(card: Card, folder: Path) -> tuple[Path, Path]:
    """Copy out the kernel and the initial RAM disk that the Pi's firmware would load."""
    names = boot_files(card)
    found = []
    for prefixes in (("vmlinuz", "kernel8"), ("initrd", "initramfs")):
        name = next((name for prefix in prefixes for name in names if name.startswith(prefix)), None)
        if name is None:
            raise CardError(f"{card.image.name}: no {prefixes[0]} on its FAT partition, only {', '.join(names)}")
        found.append(read_file(card, name, folder / name))
    return found[0], found[1]


def copy_partition(card: Card, partition: CardPartition, destination: Path, size: int | None = None) -> None:
    """Copy a partition to a file of its own, `size` bytes long if that is more; empty blocks stay holes."""
    with card.image.open("rb") as source, destination.open("wb") as target:
        copy_range(source.fileno(), partition.start, target.fileno(), partition.size)
        os.truncate(target.fileno(), max(size or 0, partition.size))


def copy_range(source: int, start: int, target: int, size: int) -> None:
    """Copy `size` bytes from `start` of one open file to the start of another, leaving out runs of zeros."""
    zeros = bytes(CHUNK)
    for at in range(0, size, CHUNK):
        chunk = os.pread(source, min(CHUNK, size - at), start + at)
        if chunk != zeros[: len(chunk)]:
            os.pwrite(target, chunk, at)


def overlay(image: Path, destination: Path, size: int | None = None) -> Path:
    """A qcow2 file on top of a raw image, which stays as it is; `size` makes the card bigger than the image."""
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.resolve()), str(destination)]
    process.run(*words, *([str(size)] if size else []))
    return destination


def with_boot_files(image: Path, destination: Path, files: Mapping[str, bytes]) -> Path:
    """A raw copy of an image with files on its FAT partition written anew."""
    process.run("cp", "--sparse=always", "--reflink=auto", image, destination)
    card = Card.of(destination)
    for name, data in files.items():
        write_file(card, name, data)
    return destination
