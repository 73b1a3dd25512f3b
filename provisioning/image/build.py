"""Builds the card's image: release, bare root file system, layer, disk."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models import python
from models.errors import UserError
from provisioning.common import drivers, layer, process, release, tree
from provisioning.common.progress import Progress
from provisioning.common.target import Target
from provisioning.image import disk, emulation, rootfs
from provisioning.image.layout import MIB
from provisioning.image.recipe import Recipe

TARGET = Target("cp311")
CONFIG = Path("boot/firmware/dictation.toml")
SPACE = 2304 * MIB
"""What the scratch folder beside the image takes at most: tree, image, and its compressed copy."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for on the command line of `provisioning/build-image`."""

    out: Path
    bundle: Path
    config: Path | None = None
    update_key: Path | None = None
    without_coral: bool = False
    coral_file: Path | None = None
    fresh: bool = False
    second_pass: Path | None = None

    def checked(self) -> layer.Options:
        """The layer's options. Raises UserError for anything that would only fail after minutes."""
        disk.check_output(self.out)
        if self.config:
            check_config(self.config)
        options = layer.Options(own_image=True, update_key=read_key(self.update_key))
        if self.coral_file and not self.coral_file.is_file():
            raise UserError(f"{self.coral_file}: no such file; give the driver's package, or leave --coral out")
        for folder in (self.second_pass, self.bundle):
            if folder:
                release.check_bundle(folder)
        return options


@dataclass(frozen=True, slots=True)
class Built:
    """What was made."""

    image: Path
    digest: str
    release: release.BuiltRelease
    root_bytes: int


def check_config(path: Path) -> None:
    """Have the application that goes onto the card judge its configuration, key by key. Raises UserError.

    It is asked in a process of its own: this program does not import it, and it needs no more than Python for this.
    """
    command = python.module("device.cli", "config", "--config", path.absolute())
    done = process.attempt(*command, environment=python.environment())
    if done.returncode:
        lines = done.stderr.removeprefix("dictate: ").strip().splitlines()
        raise UserError("; ".join(lines) or f"{path} cannot be used")
    for line in done.stderr.splitlines():  # what still works but is called otherwise now
        print(f"build-image: {line.removeprefix('dictate: ')}", file=sys.stderr)


def read_key(path: Path | None) -> str:
    """The text of a public key file, of which the first line is a key; empty for None. Raises UserError."""
    if path is None:
        return ""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    layer.signer(text, str(path))
    return text


def build(request: Request, progress: Progress) -> Built:
    """Build the image from Debian's packages. Leaves nothing behind unless it succeeds; raises UserError."""
    options = request.checked()
    if os.geteuid():
        raise UserError("building needs root's rights (files of many owners, chroot); run it with sudo")
    process.require((*disk.TOOLS, *layer.TOOLS, *release.TOOLS, *rootfs.TOOLS))
    disk.check_space(request.out.parent, SPACE)
    cache, epoch = rootfs.cache_directory(), Recipe.read().epoch
    with tempfile.TemporaryDirectory(prefix=f".{request.out.name}-", dir=request.out.parent) as scratch:
        work = Path(scratch)
        driver = None
        if not request.without_coral:
            progress.step("driver of the Coral")
            driver = drivers.fetch(drivers.pin_for(TARGET), cache, request.coral_file)
        progress.step("release")
        made = release.build_release(work / "release", TARGET, request.bundle, second_pass=request.second_pass,
                                     without_coral=request.without_coral, say=progress.say)  # fmt: skip
        progress.step("root file system")
        archive = rootfs.archive(progress.say, cache, request.fresh)
        progress.step("unpack")
        root = unpack(archive, work / "root")
        progress.step("layer")
        with emulation.arm64():
            if driver:
                drivers.install(root, driver)
            layer.apply(root, work / "release", options)
        if request.config:
            (root / CONFIG).write_bytes(request.config.read_bytes())
        tree.clamp_times(root, epoch)
        progress.step("hash")
        digest = tree.digest(root)
        progress.step("image")
        image = work / "card.img"
        disk.write_image(root, image, digest, epoch)
        size = tree.size(root)
        progress.step("block map and compression")
        disk.compress(image, request.out, progress.say)
    return Built(request.out, digest, made, size)


def unpack(archive: Path, root: Path) -> Path:
    """Unpack a root file system with its owners and device nodes into the new folder `root`."""
    root.mkdir(mode=0o755)
    process.run("tar", "--extract", "--zstd", "--file", archive, "--directory", root, "--numeric-owner",
                "--xattrs", "--xattrs-include=*", "--same-permissions")  # fmt: skip
    return root
