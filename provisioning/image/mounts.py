"""Mounts partitions of an image file so that none is left over, however the program ends.

The mounts are made in a mount namespace of this process (unshare(2)); the kernel takes them and their loop devices back
with the process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from models.errors import UserError
from provisioning.common import process

CLONE_NEWNS = 0x00020000

Mount = AbstractContextManager[Path]


def private_namespace() -> None:
    """Mount out of everyone else's sight from now on. Raises UserError where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        reason = os.strerror(ctypes.get_errno())
        raise UserError(f"no mount namespace of our own ({reason}): run it as root, outside of a container")
    try:
        process.run("mount", "--make-rprivate", "/")
    except UserError:
        raise UserError(
            "/ is no mount point here, as in a plain chroot, so mounts cannot be kept from other processes; run it "
            "outside, or make the root one first: mount --bind DIR DIR"
        ) from None


@contextmanager
def loop_device(image: Path, start: int, size: int) -> Iterator[Path]:
    """A loop device over the stretch of `size` bytes from `start` of an image file."""
    device = process.run("losetup", "--find", "--show", f"--offset={start}", f"--sizelimit={size}", image).strip()
    with Path(device).open("rb"):
        process.run("losetup", "--detach", device)  # takes effect when the last user closes it
        yield Path(device)


@contextmanager
def mounted(image: Path, start: int, size: int, place: Path) -> Iterator[Path]:
    """The stretch of `size` bytes from `start` of an image file, mounted at `place`."""
    process.run("mount", "-o", f"loop,offset={start},sizelimit={size}", image, place)
    try:
        yield place
    finally:
        process.run("umount", "--recursive", place)


@contextmanager
def runnable(root: Path) -> Iterator[None]:
    """What programs in a chroot need of the kernel: /dev, /proc, and the way to the network."""
    resolver = root / "etc/resolv.conf"
    binds = [("/dev", root / "dev"), ("/proc", root / "proc")]
    if resolver.is_file():
        binds.append(("/etc/resolv.conf", resolver))
    made = []
    try:
        for source, place in binds:
            process.run("mount", "--bind", source, place)
            made.append(place)
        yield
    finally:
        for place in reversed(made):
            process.run("umount", place)
