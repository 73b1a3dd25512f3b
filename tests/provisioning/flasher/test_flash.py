"""`provisioning/flash` as it is run, on loop devices; pieces of it where only a piece can be made to fail."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import Need, skip

from models.errors import UserError
from provisioning.common import process
from provisioning.flasher import flash, image, writing

FLASH = Path(__file__).parents[3] / "provisioning" / "flash"
MIB = 1 << 20
TABLE = "label: dos\nstart=2048,size=8192,type=c\nstart=10240,type=83\n"


@contextmanager
def loop(file: Path, *options: str) -> Iterator[Path]:
    """A block device backed by a file. Skips where loop devices are not permitted."""
    command = ["losetup", "--find", "--show", *options, str(file)]
    if os.geteuid() != 0:
        skip(Need.KERNEL, "root, for loop devices")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        skip(Need.KERNEL, f"loop devices: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", str(device)], check=True)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A disk image of 24 MiB with two partitions, most of it holes."""
    path = tmp_path / "card.img"
    with path.open("wb") as file:
        file.truncate(24 * MIB)
        file.seek(3 * MIB)
        file.write(os.urandom(2 * MIB))
        file.seek(24 * MIB - 4096)
        file.write(os.urandom(4096))
    process.run("sfdisk", "-q", path, input=TABLE)
    return path


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """An empty card of 32 MiB; its contents lie in card.data."""
    (tmp_path / "card.data").write_bytes(b"\xff" * 32 * MIB)
    with loop(tmp_path / "card.data") as device:
        yield device


def run(picture: Path, device: Path, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [FLASH, picture, device, *options]
    return subprocess.run(command, input=answer, capture_output=True, text=True, timeout=120)


def compressed(path: Path) -> Path:
    subprocess.run(["zstd", "-q", str(path)], check=True)
    return path.with_name(f"{path.name}.zst")


def mapped(path: Path) -> Path:
    subprocess.run(["bmaptool", "--quiet", "create", "-o", f"{path}.bmap", str(path)], check=True)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_image_arrives(picture: Path, card: Path, tmp_path: Path, packed: bool) -> None:
    wanted = picture.read_bytes()
    done = run(compressed(picture) if packed else picture, card, answer=f"{card.name}\n")
    assert done.returncode == 0, done.stderr
    assert "read back and equal" in done.stdout
    got = (tmp_path / "card.data").read_bytes()
    assert got[: len(wanted)] == wanted and set(got[len(wanted) :]) == {0xFF}


def test_with_a_block_map_only_what_is_mapped_is_written(picture: Path, card: Path, tmp_path: Path) -> None:
    mapped(picture)
    done = run(compressed(picture), card, answer=f"{card.name}\n")
    assert done.returncode == 0, done.stderr
    wanted, got = picture.read_bytes(), (tmp_path / "card.data").read_bytes()
    extents = image.inspect(picture).extents
    assert sum(extent.length for extent in extents) < 4 * MIB
    for extent in extents:
        assert got[extent.start :][: extent.length] == wanted[extent.start :][: extent.length]
    assert got[8 * MIB : 20 * MIB] == b"\xff" * 12 * MIB


def test_nothing_is_written_before_the_name_is_typed(picture: Path, card: Path, tmp_path: Path) -> None:
    for answer in ("", "\n", "y\n", "yes\n", "loop\n"):
        done = run(picture, card, answer=answer)
        assert done.returncode in (1, 130) and "This will be erased" in done.stdout
    assert set((tmp_path / "card.data").read_bytes()) == {0xFF}


def test_yes_does_not_hold_for_what_is_not_removable(picture: Path, card: Path, tmp_path: Path) -> None:
    done = run(picture, card, "--yes", answer=f"{card.name}\n")
    assert done.returncode == 1 and "not removable" in done.stderr
    assert set((tmp_path / "card.data").read_bytes()) == {0xFF}


def test_a_mounted_card_is_refused(picture: Path, card: Path, tmp_path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", str(card)], check=True)
    point = tmp_path / "mnt"
    point.mkdir()
    if subprocess.run(["mount", str(card), str(point)], capture_output=True).returncode:
        skip(Need.KERNEL, "the right to mount")
    try:
        done = run(picture, card, answer=f"{card.name}\n")
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert done.returncode == 1 and f"mounted at {point}" in done.stderr and f"umount {card}" in done.stderr


def test_a_card_that_the_kernel_uses_elsewhere_is_refused(picture: Path, card: Path) -> None:
    holder = os.open(card, os.O_RDONLY | os.O_EXCL)
    try:
        done = run(picture, card, answer=f"{card.name}\n")
    finally:
        os.close(holder)
    assert done.returncode == 1 and "something uses it" in done.stderr


def test_a_partition_is_refused(picture: Path, card: Path) -> None:
    assert run(picture, card, answer=f"{card.name}\n").returncode == 0
    if subprocess.run(["partx", "--update", str(card)], capture_output=True).returncode:
        skip(Need.KERNEL, "partitions of loop devices")
    try:
        done = run(picture, Path(f"{card}p1"), answer=f"{card.name}\n")
    finally:
        subprocess.run(["partx", "--delete", str(card)], capture_output=True)
    assert done.returncode == 1 and f"name the whole disk: {card}" in done.stderr


def test_a_card_of_the_wrong_size_is_refused(picture: Path, card: Path, tmp_path: Path) -> None:
    too_large = run(picture, card, "--largest", "16M", answer=f"{card.name}\n")
    assert too_large.returncode == 1 and "--largest" in too_large.stderr
    (tmp_path / "small").write_bytes(bytes(20 * MIB))
    with loop(tmp_path / "small") as small:
        done = run(picture, small, answer=f"{small.name}\n")
    assert done.returncode == 1 and "too small" in done.stderr


def test_a_locked_card_is_refused(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").write_bytes(bytes(32 * MIB))
    with loop(tmp_path / "locked", "--read-only") as locked:
        done = run(picture, locked, answer=f"{locked.name}\n")
    assert done.returncode == 1 and "lock" in done.stderr


def test_what_is_no_block_device_is_refused(picture: Path, tmp_path: Path) -> None:
    for path, word in ((picture, "is a file"), (tmp_path, "is a folder"), (Path("/dev/null"), "special file"),
                       (tmp_path / "none", "no such device")):  # fmt: skip
        done = run(picture, path, answer="yes\n")
        assert done.returncode == 1 and word in done.stderr and done.stderr.count("\n") == 1


def test_the_systems_own_disk_is_refused(picture: Path) -> None:
    root = subprocess.run(["findmnt", "-no", "SOURCE", "/"], capture_output=True, text=True).stdout.strip()
    parent = subprocess.run(["lsblk", "-ndo", "PKNAME", root], capture_output=True, text=True).stdout.strip()
    disk = Path("/dev") / (parent or Path(root).name)
    if not root.startswith("/dev/") or not disk.is_block_device():
        skip(Need.HARDWARE, f"a disk with / on it; it is on {root or 'none'}")
    done = run(picture, disk, "--largest", "1000T", answer=f"{disk.name}\n")
    assert done.returncode == 1 and "holds the running system" in done.stderr


def damage(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 0x40]))


def cut_short(picture: Path) -> Path:
    packed = compressed(picture)
    os.truncate(packed, packed.stat().st_size // 2)
    return packed


def flipped(picture: Path) -> Path:
    packed = compressed(picture)
    damage(packed, packed.stat().st_size // 2)
    return packed


def unlike_its_map(picture: Path) -> Path:
    damage(mapped(picture), 4 * MIB)
    return picture


def another_map(picture: Path) -> Path:
    os.truncate(mapped(picture), 20 * MIB)
    return picture


def a_damaged_map(picture: Path) -> Path:
    damage(mapped(picture).with_name("card.img.bmap"), 1500)
    return picture


def no_table(picture: Path) -> Path:
    damage(picture, 510)
    return picture


def another_name(picture: Path) -> Path:
    return picture.rename(picture.with_suffix(".iso"))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(cut_short, "damaged"), (flipped, "damaged"), (unlike_its_map, "are not as"), (another_map, "do not belong"),
     (a_damaged_map, "not a block map"), (no_table, "no partition table"), (another_name, "named")],
)  # fmt: skip
def test_a_bad_image_costs_no_card(
    picture: Path, card: Path, tmp_path: Path, spoil: Callable[[Path], Path], word: str
) -> None:
    done = run(spoil(picture), card, answer=f"{card.name}\n")
    assert done.returncode == 1 and word in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert set((tmp_path / "card.data").read_bytes()) == {0xFF}


@pytest.mark.parametrize("with_map", [False, True])
def test_an_error_of_the_medium_is_one_line(picture: Path, tmp_path: Path, with_map: bool) -> None:
    """A card whose medium fails: a loop device on a file for which there is no room, so the kernel reports EIO."""
    point = tmp_path / "full"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(point)], capture_output=True).returncode:
        skip(Need.KERNEL, "the right to mount")
    try:
        with (point / "card").open("wb") as file:
            file.truncate(32 * MIB)
        with loop(point / "card") as device:
            done = run(mapped(picture) if with_map else picture, device, answer=f"{device.name}\n")
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert done.returncode == 1 and "input/output error" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_what_reads_back_differently_is_found(picture: Path, card: Path, tmp_path: Path) -> None:
    whole = image.inspect(picture)
    writing.write(whole, card)
    writing.verify(whole, card)
    damage(tmp_path / "card.data", 4 * MIB + 17)
    with pytest.raises(UserError, match="read back differently"):
        writing.verify(whole, card)


def test_a_card_smaller_than_it_says_is_found(picture: Path, tmp_path: Path) -> None:
    whole = image.inspect(picture)
    (tmp_path / "short").write_bytes(bytes(20 * MIB))
    with loop(tmp_path / "short") as short:
        with pytest.raises(UserError, match="smaller than it says"):
            writing.write(whole, short)
        with pytest.raises(UserError, match="ends at byte"):
            writing.verify(whole, short)


@pytest.mark.parametrize("number", [errno.ENXIO, errno.EACCES, errno.EBUSY, errno.EROFS, errno.EIO, errno.ENOSPC, 71])
def test_every_error_of_a_device_is_one_line_that_names_it(number: int) -> None:
    line = writing.explain(Path("/dev/null"), OSError(number, os.strerror(number)))
    assert line.startswith("/dev/null: ") and "\n" not in line
    assert "the card is gone" in writing.explain(Path("/dev/none"), OSError(number, os.strerror(number)))


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_block_map_crashes(text: bytes) -> None:
    with pytest.raises(UserError):
        image.parse_map(text, Path("x.bmap"))


@given(st.integers(0, 10**15), st.sampled_from(["", "k", "M", "g", "T"]))
def test_sizes(number: int, unit: str) -> None:
    assert flash.size(f"{number}{unit}") == number * flash.SIZES[unit.lower()]


@pytest.mark.parametrize("text", ["", "G", "-1G", "64X", "1e3", "6 4G"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        flash.size(text)
