"""The data partition gets the rest of the card, on real loop devices; a power cut leaves the old table or the new."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import Need, skip

SCRIPT = (
    Path(__file__).parents[2] / "provisioning" / "rootfs-overlay" / "image" / "usr" / "lib" / "dictate" / "grow-data"
)
TABLE = """label: dos
start=4MiB, size=8MiB, type=c
start=12MiB, size=8MiB, type=83
start=20MiB, size=16MiB, type=83
"""
MIB = 1 << 20


def attach(image: Path) -> str:
    done = subprocess.run(["losetup", "-fP", "--show", image], capture_output=True, text=True)
    if done.returncode:
        skip(Need.KERNEL, f"loop devices: {done.stderr.strip()}")
    return done.stdout.strip()


def detach(device: str) -> None:
    subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A card of 100 MiB with an image of 36 MiB on it; its root partition is in use."""
    if os.geteuid():
        skip(Need.KERNEL, "root, for loop devices")
    image = tmp_path / "card.img"
    with image.open("wb") as file:
        file.truncate(100 * MIB)
    subprocess.run(["sfdisk", "--quiet", image], input=TABLE, text=True, check=True)
    device = attach(image)
    try:
        if not Path(f"{device}p3").exists():
            subprocess.run(["partx", "--add", device], check=False)
        if not Path(f"{device}p3").exists():
            skip(Need.KERNEL, "partitions of loop devices")
        for number, label in ((2, "RASPIROOT"), (3, "DICTATEDATA")):
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, f"{device}p{number}"], check=True)
        (tmp_path / "root").mkdir()
        subprocess.run(["mount", "-o", "ro", f"{device}p2", tmp_path / "root"], check=True)
        try:
            yield image, device
        finally:
            subprocess.run(["umount", tmp_path / "root"], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def grow(root: Path) -> str:
    done = subprocess.run([SCRIPT, root], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def sectors(partition: str) -> int:
    return int(Path("/sys/class/block", Path(partition).name, "size").read_text())


def test_it_grows_once_while_the_card_is_in_use(card: tuple[Path, str], tmp_path: Path) -> None:
    image, device = card
    subprocess.run(["blockdev", "--flushbufs", device], check=True)
    before = image.read_bytes()
    assert sectors(f"{device}p3") == 16 * MIB // 512
    assert grow(tmp_path / "root") == "grow-data: partition 3 now ends with the disk\n"
    assert sectors(f"{device}p3") == 80 * MIB // 512, "the kernel knows"
    subprocess.run(["blockdev", "--flushbufs", device], check=True)
    after = image.read_bytes()
    changed = {at // 512 for at in range(0, len(after), 512) if before[at : at + 512] != after[at : at + 512]}
    assert changed == {0}, "one sector is written, so a power cut leaves the old table or the new"
    assert before[:446] == after[:446] and before[446 : 446 + 32] == after[446 : 446 + 32], "the others stay"
    assert grow(tmp_path / "root") == ""
    assert image.read_bytes() == after
    assert subprocess.run(["e2fsck", "-fn", f"{device}p3"], capture_output=True).returncode == 0


def test_after_a_power_cut_between_the_table_and_the_file_system_the_rest_is_done(
    card: tuple[Path, str], tmp_path: Path
) -> None:
    image, device = card
    grow(tmp_path / "root")
    subprocess.run(["blockdev", "--flushbufs", device], check=True)
    rest = tmp_path / "after-the-cut.img"
    shutil.copyfile(image, rest)
    again = attach(rest)
    try:
        if not Path(f"{again}p3").exists():
            subprocess.run(["partx", "--add", again], check=False)
        (tmp_path / "again").mkdir()
        subprocess.run(["mount", "-o", "ro", f"{again}p2", tmp_path / "again"], check=True)
        try:
            assert grow(tmp_path / "again") == ""
        finally:
            subprocess.run(["umount", tmp_path / "again"], check=True)
        assert subprocess.run(["e2fsck", "-fp", f"{again}p3"], capture_output=True).returncode == 0
        subprocess.run(["resize2fs", f"{again}p3"], check=True, capture_output=True)
        shown = subprocess.run(["dumpe2fs", "-h", f"{again}p3"], capture_output=True, text=True, check=True).stdout
        blocks = {line.split(":")[0]: line.split(":")[1].strip() for line in shown.splitlines() if ":" in line}
        assert int(blocks["Block count"]) * int(blocks["Block size"]) == 80 * MIB
    finally:
        detach(again)


def test_it_leaves_alone_what_is_not_the_data_partition(card: tuple[Path, str], tmp_path: Path) -> None:
    image, device = card
    subprocess.run(["e2label", f"{device}p3", "PHOTOS"], check=True)
    subprocess.run(["blockdev", "--flushbufs", device], check=True)
    before = image.read_bytes()
    assert grow(tmp_path / "root") == "grow-data: the last partition is not DICTATEDATA\n"
    assert grow(tmp_path) == f"grow-data: {tmp_path}: not mounted from a partition\n"
    assert image.read_bytes() == before
