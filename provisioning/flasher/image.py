"""A disk image to be written: its size, the stretches of it that hold data, and the checksum of each.

The stretches come from a block map (``bmaptool create``, format 2.0) beside the image; without one the whole image is
one stretch. Everything is read once before a card is touched, so a damaged file costs no card its contents.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from models.errors import UserError

CHUNK = 4 << 20
SECTOR = 512
MAGIC = b"\x55\xaa"
"""The last two bytes of the first sector of every partitioned disk."""

Progress = Callable[[int], None]
"""Called with the number of bytes that were dealt with since the last call."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of the image that must reach the card: bytes from its start, and their SHA-256 in hexadecimal."""

    start: int
    length: int
    sha256: str = ""


Map = tuple[int, tuple[Extent, ...]]
"""What a block map tells: the image's size in bytes, and its extents."""


@dataclass(frozen=True, slots=True)
class CardImage:
    """An image that was read through: its size in bytes, uncompressed; extents in order; its block map, if any."""

    path: Path
    size: int
    extents: tuple[Extent, ...]
    block_map: Path | None

    @property
    def mapped(self) -> int:
        """How many bytes hold data."""
        return sum(extent.length for extent in self.extents)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed bytes of an .img or .img.zst. Raises UserError if it cannot be read or is damaged.

    A zstd that ends badly is noticed when the block is left, so leave it only after reading to the end.
    """
    if path.suffix != ".zst":
        try:
            stream = path.open("rb")
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        with stream:
            yield stream
        return
    try:
        unpacking = subprocess.Popen(
            ["zstd", "-dcq", "--", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise UserError(f"{path}: zstd is missing; install the package zstd") from None
    assert unpacking.stdout and unpacking.stderr
    with unpacking:
        try:
            yield unpacking.stdout
        except BaseException:
            unpacking.kill()
            raise
        unpacking.stdout.close()
        words = unpacking.stderr.read().decode(errors="replace")
    if unpacking.returncode:
        cause = words.strip().splitlines()[-1:] or [f"zstd ended with {unpacking.returncode}"]
        raise UserError(f"{path}: damaged ({cause[0].removeprefix('zstd: ')}); copy or download it again")


def inspect(path: Path, progress: Progress = lambda _: None) -> CardImage:
    """Read an image through and check it against its block map. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{path}: no such image")
    if not path.name.endswith((".img", ".img.zst")):
        raise UserError(f"{path}: an image is named *.img or *.img.zst")
    block_map = beside(path)
    told = parse_map(block_map.read_bytes(), block_map) if block_map else None
    with opened(path) as stream:
        image = _read(path, stream, told, block_map, progress)
    if told and image.size != told[0]:
        raise UserError(f"{path}: {image.size} bytes, but {block_map} tells of {told[0]}; they do not belong together")
    if image.size % SECTOR or not image.size:
        raise UserError(f"{path}: {image.size} bytes are not a whole number of sectors; copy or download it again")
    if told:
        for want, have in zip(told[1], image.extents, strict=True):
            if want.sha256 and want.sha256 != have.sha256:
                where = f"bytes {want.start} to {want.start + want.length - 1}"
                raise UserError(f"{path}: damaged: {where} are not as {block_map} says; copy or download both again")
    return image


def beside(path: Path) -> Path | None:
    """The block map of an image, where bmaptool looks too: x.img.zst.bmap, x.img.bmap, x.bmap."""
    stem = path
    while True:
        candidate = stem.with_name(f"{stem.name}.bmap")
        if candidate.is_file():
            return candidate
        if stem.suffix not in (".zst", ".img"):
            return None
        stem = stem.with_suffix("")


def parse_map(text: bytes, path: Path) -> Map:
    """Size of the image and its mapped extents, from a block map. Raises UserError naming `path`."""
    try:
        root = ElementTree.fromstring(text)
        block, size = _number(root, "BlockSize"), _number(root, "ImageSize")
        if (version := root.get("version", "")).partition(".")[0] != "2":
            raise ValueError(f"version {version} is not 2")
        if (kind := (root.findtext("ChecksumType") or "").strip()) != "sha256":
            raise ValueError(f"its checksums are {kind or 'of no kind'}, not sha256")
        claimed = (root.findtext("BmapFileChecksum") or "").strip()
        if claimed and hashlib.sha256(text.replace(claimed.encode(), b"0" * len(claimed))).hexdigest() != claimed:
            raise ValueError("its own checksum is wrong")
        extents = tuple(_extent(entry.text or "", entry.get("chksum", ""), block, size) for entry in root.iter("Range"))
        if any(b.start < a.start + a.length for a, b in pairwise(extents)):
            raise ValueError("its ranges overlap")
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{path}: not a block map that can be used ({error}); make it again or remove it") from error
    return size, extents


def _number(root: ElementTree.Element, name: str) -> int:
    value = int(root.findtext(name) or "")
    if value <= 0:
        raise ValueError(f"{name} is {value}")
    return value


def _extent(text: str, digest: str, block: int, size: int) -> Extent:
    match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", text)
    if not match:
        raise ValueError(f"range {text.strip()!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    start, end = first * block, min((last + 1) * block, size)
    if start >= end:
        raise ValueError(f"range {text.strip()!r} is outside the image")
    return Extent(start, end - start, digest.lower())


def _read(path: Path, stream: IO[bytes], told: Map | None, block_map: Path | None, progress: Progress) -> CardImage:
    """Digest the extents that `told` names, or all there is, and count the bytes."""
    wanted = list(told[1]) if told else [Extent(0, 1 << 62)]
    digests = [hashlib.sha256() for _ in wanted]
    place, current = 0, 0
    while chunk := stream.read(CHUNK):
        if place == 0 and chunk[SECTOR - 2 : SECTOR] != MAGIC:
            raise UserError(f"{path}: not the image of a disk: it has no partition table")
        end = place + len(chunk)
        while current < len(wanted) and wanted[current].start < end:
            extent = wanted[current]
            digests[current].update(chunk[max(0, extent.start - place) : extent.start + extent.length - place])
            if extent.start + extent.length > end:
                break
            current += 1
        place = end
        progress(len(chunk))
    lengths = (extent.length if told else place for extent in wanted)
    extents = (
        Extent(extent.start, length, digest.hexdigest())
        for extent, length, digest in zip(wanted, lengths, digests, strict=True)
    )
    return CardImage(path, place, tuple(extents), block_map)
