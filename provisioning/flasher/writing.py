"""Putting an image onto a block device, reading it back, and letting the card go.

Everything here takes a path, so that it is tested on loop devices.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from models.errors import UserError
from provisioning.common import process
from provisioning.flasher.image import CHUNK, SECTOR, CardImage, Progress, opened

BLKRRPART, BLKFLSBUF = 0x125F, 0x1261
"""Read the partition table again; drop what is cached of a device (linux/fs.h)."""

SYNC_EVERY = 16 * CHUNK


def check_unused(device: Path) -> None:
    """Raises UserError if anything in the kernel holds the device, which a mount elsewhere or an array does."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        raise UserError(explain(device, error)) from error


def write(image: CardImage, device: Path, progress: Progress = lambda _: None) -> None:
    """Write an image: what its block map names by bmaptool where there is one, else every byte. Raises UserError."""
    if image.block_map and shutil.which("bmaptool"):
        _write_mapped(image, device, progress)
    else:
        _write_whole(image, device, progress)


def verify(image: CardImage, device: Path, progress: Progress = lambda _: None) -> None:
    """Read back what was written, past the kernel's cache. Raises UserError at the first difference."""
    try:
        _drop_cache(device)
        handle = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(explain(device, error)) from error
    try:
        with mmap.mmap(-1, CHUNK) as page_aligned:
            for extent in image.extents:
                digest = hashlib.sha256()
                for place, length in _steps(extent.start, extent.length):
                    got = os.preadv(handle, [memoryview(page_aligned)[:length]], place)
                    if got < length:
                        raise UserError(f"{device}: ends at byte {place + got}; the card is smaller than it says")
                    digest.update(page_aligned[:length])
                    progress(length)
                if digest.hexdigest() != extent.sha256:
                    where = f"bytes {extent.start} to {extent.start + extent.length - 1}"
                    raise UserError(
                        f"{device}: {where} read back differently; the card is worn out or smaller than it says: "
                        "take another"
                    )
    except OSError as error:
        raise UserError(explain(device, error)) from error
    finally:
        os.close(handle)


def release(device: Path) -> str:
    """Let the card go, and say how far that went."""
    _reread_partitions(device)
    for command in (["eject", str(device)], ["udisksctl", "power-off", "--no-user-interaction", "-b", str(device)]):
        if shutil.which(command[0]):
            done = process.attempt(*command)
            if done.returncode == 0:
                return "ejected: take the card out"
    return "everything is written: take the card out"


def explain(device: Path, error: OSError) -> str:
    """One line for what went wrong with a device, and what to do."""
    gone = error.errno in (errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM) or not device.exists()
    if gone:
        return f"{device}: the card is gone; put it in again and start over"
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"{device}: may not be opened; run it with sudo"
        case errno.EBUSY:
            return f"{device}: something uses it; unmount it everywhere, and close what shows its contents"
        case errno.EROFS:
            return f"{device}: read-only; slide the card's lock towards its contacts and put it in again"
        case errno.EIO:
            return f"{device}: input/output error: the card or its reader is broken; take another"
        case errno.ENOSPC:
            return f"{device}: full before the image was written; the card is smaller than it says"
    return f"{device}: {error.strerror or error}"


def _write_whole(image: CardImage, device: Path, progress: Progress) -> None:
    unsynced = 0
    with opened(image.path) as stream:
        try:
            handle = os.open(device, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
            try:
                while chunk := stream.read(CHUNK):
                    rest = memoryview(chunk)
                    while rest:
                        rest = rest[os.write(handle, rest) :]
                    unsynced += len(chunk)
                    if unsynced >= SYNC_EVERY:  # so that progress is that of the card, and errors come early
                        os.fsync(handle)
                        unsynced = 0
                    progress(len(chunk))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise UserError(explain(device, error)) from error


def _write_mapped(image: CardImage, device: Path, progress: Progress) -> None:
    command = ["bmaptool", "--quiet", "copy", "--bmap", str(image.block_map), str(image.path), str(device)]
    done, before = 0, _written(device)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as writing:
        assert writing.stderr
        try:
            while writing.poll() is None:
                time.sleep(0.2)
                now = min(_written(device) - before, image.mapped)
                progress(now - done)
                done = now
        except BaseException:
            writing.terminate()
            raise
        words = writing.stderr.read().strip().splitlines()
    if writing.returncode:
        raise UserError(_bmaptool_error(device, words))
    progress(image.mapped - done)


def _bmaptool_error(device: Path, words: list[str]) -> str:
    """bmaptool's own words in one line, or ours where it names an error number or the card has gone."""
    said = next((line for line in reversed(words) if "ERROR" in line), words[-1] if words else "bmaptool failed")
    for code in (errno.EIO, errno.ENOSPC, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM, errno.EROFS, errno.EBUSY):
        if f"[Errno {code}]" in " ".join(words) or os.strerror(code) in said:
            return explain(device, OSError(code, os.strerror(code)))
    if not device.exists():
        return explain(device, OSError(errno.ENODEV, os.strerror(errno.ENODEV)))
    return f"{device}: {said.rpartition('ERROR: ')[2]}"


def _written(device: Path) -> int:
    """How many bytes the kernel has sent to the device since it is there (sysfs `stat`, seventh field, sectors)."""
    try:
        return int((Path("/sys/class/block") / device.name / "stat").read_text().split()[6]) * SECTOR
    except (OSError, IndexError, ValueError):
        return 0


def _steps(start: int, length: int) -> Iterator[tuple[int, int]]:
    for place in range(start, start + length, CHUNK):
        yield place, min(CHUNK, start + length - place)


def _drop_cache(device: Path) -> None:
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        fcntl.ioctl(handle, BLKFLSBUF)
    finally:
        os.close(handle)


def _reread_partitions(device: Path) -> None:
    """Let the kernel see the new partitions; a kernel or device that cannot is no fault of the card."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.ioctl(handle, BLKRRPART)
    except OSError:
        pass
    finally:
        os.close(handle)
