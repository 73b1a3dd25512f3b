"""Lays the layer over an existing image, such as Raspberry Pi OS Lite, without starting it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError
from provisioning.common import drivers, layer, process, release, tree
from provisioning.common.progress import Progress
from provisioning.common.target import PYTHONS, Target
from provisioning.image import disk, emulation, mounts, rootfs
from provisioning.image.build import CONFIG, Built, Request
from provisioning.image.layout import MIB, SECTOR
from provisioning.image.recipe import Recipe

TOOLS = ("sfdisk", "e2fsck", "resize2fs", "losetup", "mcopy", "mmd", "zstd", "bmaptool", "qemu-aarch64-static")
UNPACKERS = {".zst": "zstd", ".xz": "xz", ".gz": "gzip"}
MACHINES = {3: "a PC (32 bits)", 40: "32-bit ARM", 62: "a PC (64 bits)", 183: "arm64"}
ARM64 = 183
EXTRA_BYTES = 768 * MIB
"""By how much a root partition at the image's end grows: the release, and what the packages need."""
NEEDED = ("python3", "python3-pyaudio", "alsa-utils", "libusb-1.0-0", "openssh-client")
MARKER = "# Added by coral-dictation (provisioning/image/base.py)"
FIRMWARE_LINES = f"""
{MARKER}
[all]
dtoverlay=dwc2,dr_mode=peripheral
dtparam=i2c_arm=on
dtoverlay=ina219
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A partition of the base image, in bytes."""

    number: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The two partitions of the base image that matter, and whether the root's is its last."""

    firmware: Found | None
    root: Found
    root_is_last: bool


def build_on(base: Path, request: Request, progress: Progress) -> Built:
    """Apply the layer to a copy of the image file `base`.

    Leaves nothing behind unless it succeeds; raises UserError.
    """
    inspect_name(base)
    options = request.checked()
    if os.geteuid():
        raise UserError("working on an image needs root's rights (loop mounts, chroot); run it with sudo")
    unpacker = [UNPACKERS[base.suffix]] if base.suffix in UNPACKERS else []
    process.require((*TOOLS, *layer.TOOLS, *release.TOOLS, *unpacker))
    mounts.private_namespace()
    with tempfile.TemporaryDirectory(prefix=f".{request.out.name}-", dir=request.out.parent) as scratch:
        work = Path(scratch)
        progress.step("copy of the base image")
        image = copy(base, work / "card.img")
        found = inspect(image, base)
        progress.step("check of its root file system")
        check_file_system(image, found, base)
        if found.root_is_last:
            found = enlarge(image, found)
        (work / "root").mkdir()
        with mounts.mounted(image, found.root.start, found.root.size, work / "root") as root:
            target = examine(root, base)
            progress.step("release")
            made = release.build_release(work / "release", target, request.bundle, say=progress.say,
                                         second_pass=request.second_pass,
                                         without_coral=request.without_coral)  # fmt: skip
            own = "DICTATEDATA" in _text(root / "etc/fstab")
            firmware = root / "boot/firmware"
            if found.firmware is None or not firmware.is_dir():
                raise UserError(f"{base} has no FAT partition for /boot/firmware; take Bookworm or later")
            disk.read_fat(image, found.firmware.start, "config.txt", firmware / "config.txt")
            with emulation.arm64():
                progress.step("packages")
                _packages(root, base)
                if not request.without_coral:
                    driver = drivers.fetch(drivers.pin_for(target), rootfs.cache_directory(), request.coral_file)
                    with mounts.runnable(root):
                        drivers.install(root, driver)
                progress.step("layer")
                layer.apply(root, work / "release", layer.Options(own, options.update_key))
            if not own:
                _boot(firmware)
            if request.config:
                (root / CONFIG).write_bytes(request.config.read_bytes())
            epoch = Recipe.read().epoch
            disk.fill_fat(image, found.firmware.start, firmware, epoch)
            for path in firmware.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            tree.clamp_times(root, epoch)
            progress.step("hash")
            digest, size = tree.digest(root), tree.size(root)
        progress.step("block map and compression")
        disk.compress(image, request.out, progress.say)
    return Built(request.out, digest, made, size)


def inspect_name(base: Path) -> None:
    """Raise UserError for a base that is no file."""
    if base.is_block_device():
        raise UserError(f"{base} is a device: give an image file; nothing is read from or written to devices")
    if not base.is_file():
        raise UserError(f"{base}: no such file; give debian or the path of an image")


def copy(base: Path, image: Path) -> Path:
    """Copy, or unpack, the base image."""
    disk.check_space(image.parent, base.stat().st_size + EXTRA_BYTES)
    unpacker = UNPACKERS.get(base.suffix)
    if unpacker is None:
        process.run("cp", "--sparse=always", "--", base, image)
        return image
    packed = image.with_name(image.name + base.suffix)
    packed.symlink_to(base.resolve())
    try:
        process.run(unpacker, "--quiet", "--decompress", "--force", "--keep", packed)
    except UserError as error:
        raise UserError(f"{base} cannot be unpacked: {error}; download it again") from None
    return image


def inspect(image: Path, name: Path) -> BaseImage:
    """Find the root and the firmware's partition of an image file. Raises UserError that calls it `name`."""
    try:
        table = json.loads(process.run("sfdisk", "--json", image))["partitiontable"]
    except (UserError, ValueError, KeyError):
        raise UserError(f"{name} is no disk image: it has no partition table; is it the file that you meant?") from None
    sector = int(table.get("sectorsize", SECTOR))
    partitions = [
        Found(number, int(entry["start"]) * sector, int(entry["size"]) * sector)
        for number, entry in enumerate(table.get("partitions", ()), 1)
    ]
    length = image.stat().st_size
    for partition in partitions:
        if partition.start + partition.size > length:
            raise UserError(f"{name} is cut off: partition {partition.number} ends behind the file; download it again")
    roots = [partition for partition in partitions if _is_ext(image, partition)]
    if not roots:
        raise UserError(f"{name} has no ext4 partition, so no Raspberry Pi OS or Debian is in it")
    root = roots[0]
    firmware = next((partition for partition in partitions if _is_fat(image, partition)), None)
    return BaseImage(firmware, root, root == max(partitions, key=lambda partition: partition.start))


def check_file_system(image: Path, found: BaseImage, name: Path) -> None:
    """Have e2fsck look at the root file system. Raises UserError where it is damaged."""
    with _part(image, found.root) as device:
        try:
            process.run("e2fsck", "-f", "-n", device)
        except UserError:
            raise UserError(f"{name}: its root file system is damaged (e2fsck -fn); download it again") from None


def enlarge(image: Path, found: BaseImage) -> BaseImage:
    """Let the last partition, the root's, grow by `EXTRA_BYTES`."""
    size = found.root.size + EXTRA_BYTES
    with image.open("r+b") as file:
        file.truncate(found.root.start + size)
    process.run("sfdisk", "--quiet", "-N", str(found.root.number), image, input=f", {size // SECTOR}\n")
    root = Found(found.root.number, found.root.start, size)
    with _part(image, root) as device:
        process.run("e2fsck", "-f", "-p", device)
        process.run("resize2fs", device)
    return BaseImage(found.firmware, root, True)


def examine(root: Path, name: Path) -> Target:
    """What a release for the system in the tree `root` is made for. Raises UserError for one that cannot have it."""
    program = next((path for path in (root / "usr/bin/dpkg", root / "usr/bin/bash") if path.is_file()), None)
    if program is None:
        raise UserError(f"{name}: its ext4 partition holds no Debian (no usr/bin/dpkg)")
    machine = struct.unpack_from("<H", program.read_bytes()[:20].ljust(20, b"\0"), 18)[0]
    if machine != ARM64:
        found = MACHINES.get(machine, f"another machine (ELF {machine})")
        raise UserError(f"{name} is for {found}, not arm64; take the 64-bit Raspberry Pi OS Lite")
    pythons = {f"cp{path.name.removeprefix('python').replace('.', '')}" for path in root.glob("usr/lib/python3.*")}
    target = next((python for python in PYTHONS if python in pythons), None)
    if target is None:
        raise UserError(f"{name} has none of the Pythons that there are locks for: {', '.join(PYTHONS)}")
    return Target(target)


def _packages(root: Path, name: Path) -> None:
    """Install the packages that the base lacks, by its own apt."""
    status = (root / "var/lib/dpkg/status").read_text(errors="replace")
    paragraphs = [paragraph.splitlines() for paragraph in status.split("\n\n")]
    installed = {lines[0].removeprefix("Package: ") for lines in paragraphs if "Status: install ok installed" in lines}
    missing = [package for package in NEEDED if package not in installed]
    if not missing:
        return
    with mounts.runnable(root):
        try:
            environment = {"DEBIAN_FRONTEND": "noninteractive"}
            process.run("chroot", root, "apt-get", "update", "--quiet", environment=environment)
            process.run("chroot", root, "apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing,
                        environment=environment)  # fmt: skip
            process.run("chroot", root, "apt-get", "clean")
        except UserError as error:
            raise UserError(f"{name} lacks {' '.join(missing)}, and its apt cannot install them: {error}") from None


def _boot(firmware: Path) -> None:
    """Switch on keyboard port and meter in the config.txt of Raspberry Pi OS, once."""
    config = firmware / "config.txt"
    if config.exists() and MARKER not in _text(config):
        config.write_text(_text(config).rstrip("\n") + "\n" + FIRMWARE_LINES)


def _part(image: Path, partition: Found) -> mounts.Mount:
    return mounts.loop_device(image, partition.start, partition.size)


def _is_ext(image: Path, partition: Found) -> bool:
    """Whether there is the superblock of ext2, 3 or 4 (Linux, Documentation/filesystems/ext4/super.rst)."""
    return _read(image, partition.start + 1024 + 56, 2) == b"\x53\xef"


def _is_fat(image: Path, partition: Found) -> bool:
    """Whether there is a FAT's boot sector (its type is told at 54 or, FAT32, at 82)."""
    sector = _read(image, partition.start, SECTOR)
    return sector[510:512] == b"\x55\xaa" and (sector[54:57] == b"FAT" or sector[82:87] == b"FAT32")


def _read(image: Path, start: int, size: int) -> bytes:
    with image.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
