"""Disk images of small trees, read back with the file systems' own tools; and bases that are no such image."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.errors import UserError
from provisioning.common import process, tree
from provisioning.image import base, disk
from provisioning.image.layout import MIB, SECTOR, Layout

ROOT = Path(__file__).parents[3]
DIGEST = "0123456789abcdef" * 4
EPOCH = 1_700_000_000


def run(*command: str | Path) -> str:
    environment = {**os.environ, "PATH": process.PATH, "MTOOLS_SKIP_CHECK": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def grown(root: Path) -> Path:
    """A tree with a system and what goes onto the FAT."""
    for folder in ("boot/firmware/overlays", "usr/bin", "etc"):
        (root / folder).mkdir(parents=True)
    (root / "boot/firmware/config.txt").write_text("kernel=vmlinuz\n")
    (root / "boot/firmware/overlays/ina219.dtbo").write_bytes(b"\xd0\x0d\xfe\xed")
    (root / "usr/bin/dpkg").write_bytes(b"\x7fELF\x02".ljust(18, b"\0") + struct.pack("<H", 183))
    (root / "etc/fstab").write_text("LABEL=DICTATEDATA\n")
    tree.clamp_times(root, EPOCH)
    return root


@pytest.fixture
def card(tmp_path: Path) -> tuple[Path, Layout]:
    layout = disk.write_image(grown(tmp_path / "root"), tmp_path / "card.img", DIGEST, EPOCH, 80 * MIB)
    return tmp_path / "card.img", layout


def test_an_image_holds_the_tree_in_two_clean_file_systems(card: tuple[Path, Layout], tmp_path: Path) -> None:
    image, layout = card
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    assert table["id"] == "0x01234567" and image.stat().st_size == layout.size
    assert [entry["start"] * SECTOR for entry in table["partitions"]] == [part.start for part in layout.partitions]
    parts = []
    for part in layout.partitions:
        parts.append(tmp_path / part.label)
        with image.open("rb") as file:
            file.seek(part.start)
            parts[-1].write_bytes(file.read(part.size))
    run("fsck.vfat", "-n", parts[0])
    assert run("mtype", "-i", parts[0], "::/config.txt") == "kernel=vmlinuz\n"
    assert "::/overlays/ina219.dtbo" in run("mdir", "-b", "-/", "-i", parts[0], "::/")
    for part, label in zip(parts[1:], ("RASPIROOT", "DICTATEDATA"), strict=True):
        run("e2fsck", "-f", "-n", part)
        assert f"Filesystem volume name:   {label}" in run("dumpe2fs", "-h", part)
    assert run("debugfs", "-R", "cat /etc/fstab", parts[1]) == "LABEL=DICTATEDATA\n"
    assert "config.txt" not in run("debugfs", "-R", "ls /boot/firmware", parts[1])


def test_the_same_tree_gives_the_same_image(tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        disk.write_image(grown(tmp_path / name), tmp_path / f"{name}.img", DIGEST, EPOCH, 80 * MIB)
        hashes.add(run("sha256sum", tmp_path / f"{name}.img").split()[0])
        time.sleep(1.1)  # the file systems' times have seconds
    assert len(hashes) == 1


def test_the_block_map_leaves_the_empty_part_out(card: tuple[Path, Layout], tmp_path: Path) -> None:
    image, layout = card
    out = tmp_path / "out.img.zst"
    assert disk.compress(image, out, lambda _: None) == tmp_path / "out.img.bmap"
    mapped = re.search(r"<MappedBlocksCount>\s*(\d+)", (tmp_path / "out.img.bmap").read_text())
    assert mapped and 0 < int(mapped[1]) * 4096 < layout.size / 2
    run("zstd", "-q", "-d", out, "-o", tmp_path / "again.img")
    assert (tmp_path / "again.img").stat().st_size == layout.size


def test_an_image_of_ours_is_known_as_a_base(card: tuple[Path, Layout]) -> None:
    image, layout = card
    found = base.inspect(image, image)
    assert (found.root.start, found.root.size) == (layout.root.start, layout.root.size)
    assert found.firmware and found.firmware.start == layout.firmware.start
    assert not found.root_is_last


def test_files_of_a_fat_are_replaced_and_read(card: tuple[Path, Layout], tmp_path: Path) -> None:
    image, layout = card
    new = tmp_path / "new"
    (new / "overlays").mkdir(parents=True)
    (new / "config.txt").write_text("other\n")
    (new / "overlays/more.dtbo").touch()
    disk.fill_fat(image, layout.firmware.start, new, EPOCH)
    assert disk.read_fat(image, layout.firmware.start, "config.txt", tmp_path / "read")
    assert (tmp_path / "read").read_text() == "other\n"
    assert disk.read_fat(image, layout.firmware.start, "overlays/ina219.dtbo", tmp_path / "kept")
    assert not disk.read_fat(image, layout.firmware.start, "none.txt", tmp_path / "none")


def test_bases_that_are_none_are_named(card: tuple[Path, Layout], tmp_path: Path) -> None:
    image, layout = card
    (tmp_path / "text.img").write_text("not an image\n" * 1000)
    (tmp_path / "fat-only.img").write_bytes(image.read_bytes()[: layout.firmware.end])
    run("sfdisk", "-q", "--delete", tmp_path / "fat-only.img", "2", "3")
    (tmp_path / "cut.img").write_bytes(image.read_bytes()[: layout.root.end - MIB])
    for name, message in (
        ("text.img", "no partition table"),
        ("fat-only.img", "no ext4 partition"),
        ("cut.img", "is cut off: partition 2"),
    ):
        with pytest.raises(UserError, match=message):
            base.inspect(tmp_path / name, tmp_path / name)
    (tmp_path / "bad.img.zst").write_bytes(b"no zstd")
    with pytest.raises(UserError, match="cannot be unpacked"):
        base.copy(tmp_path / "bad.img.zst", tmp_path / "out.img")


@pytest.mark.parametrize(
    ("machine", "message"), [(62, r"a PC \(64 bits\), not arm64"), (40, "32-bit ARM"), (183, "none of the Pythons")]
)
def test_a_system_for_another_machine_is_refused(tmp_path: Path, machine: int, message: str) -> None:
    root = grown(tmp_path / "root")
    (root / "usr/bin/dpkg").write_bytes(b"\x7fELF\x02".ljust(18, b"\0") + struct.pack("<H", machine))
    with pytest.raises(UserError, match=message):
        base.examine(root, Path("card.img"))
    (root / "usr/bin/dpkg").unlink()
    with pytest.raises(UserError, match="no Debian"):
        base.examine(root, Path("card.img"))


def test_a_system_is_given_the_release_for_its_python(tmp_path: Path) -> None:
    root = grown(tmp_path / "root")
    (root / "usr/lib/python3.13").mkdir(parents=True)
    assert base.examine(root, Path("card.img")).python == "cp313"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "/dev/null.img"], "is a device|/dev"),
        (["--out", "/dev/loop0"], "is a device"),
        (["--out", "card.iso"], "ends in .img or .img.zst"),
        (["--out", "none/card.img"], "is no folder"),
        (["--config", "bad.toml"], "bad.toml: not valid TOML"),
        (["--config", "none.toml"], "none.toml: no such file"),
        (["--config", "wrong.toml"], "wrong.toml:2: panel.buton_pin: no such key; nearest: panel.button_pin"),
        (["--update-key", "none.pub"], "none.pub cannot be read"),
        (["--update-key", "bad.toml"], "bad.toml is no SSH public key"),
        (["--coral", "none.deb"], "none.deb: no such file"),
        (["--bundle", "none"], "none is no model bundle"),
        (["--second-pass", "none"], "none is no model bundle"),
        (["--base", "none.img"], "none.img: no such file"),
    ],
)
def test_the_command_refuses_in_one_line_before_it_begins(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "bad.toml").write_text("a = = b\n")
    (tmp_path / "wrong.toml").write_text("[panel]\nbuton_pin = 3\n")
    command = [sys.executable, ROOT / "provisioning/build-image", "--without-coral", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("build-image: ")
    assert any(part in done.stderr for part in message.split("|"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "wrong.toml"]
