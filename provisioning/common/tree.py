"""Folders as a whole: copied, hashed, given one time stamp."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from models import files
from models.bundle import sha256


def walk(root: Path) -> Iterator[Path]:
    """Everything below `root`, folders before what is in them, sorted by name; links are not followed."""
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from walk(path)


def file_hashes(root: Path) -> dict[str, str]:
    """The SHA-256 of each regular file below `root`, by its path relative to it, sorted."""
    files = (path for path in walk(root) if path.is_file() and not path.is_symlink())
    return {path.relative_to(root).as_posix(): sha256(path) for path in files}


def digest(root: Path) -> str:
    """The SHA-256 of a tree: kind, mode, owner, path, and content, link target or device number of each entry.

    Times, hard-link counts and extended attributes are not in it.
    """
    total = hashlib.sha256()
    for path in walk(root):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = sha256(path)
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            content = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        else:
            content = ""
        fields = (f"{status.st_mode:o}", status.st_uid, status.st_gid, path.relative_to(root).as_posix(), content)
        total.update("\0".join(map(str, fields)).encode("utf-8", "surrogateescape") + b"\n")
    return total.hexdigest()


def size(root: Path) -> int:
    """Bytes that the files below `root` take on a disk, each hard link counted once."""
    seen = {(status.st_dev, status.st_ino): status.st_blocks * 512 for path in walk(root) if (status := path.lstat())}
    return sum(seen.values())


def clamp_times(root: Path, latest: int) -> None:
    """Give everything younger than `latest` (seconds since 1970) that time."""
    for path in (root, *walk(root)):
        if path.lstat().st_mtime > latest:
            os.utime(path, (latest, latest), follow_symlinks=False)


def lay_over(source: Path, root: Path) -> list[Path]:
    """Copy the tree `source` onto `root`, as root's files with modes 755 and 644; returns the paths relative to it.

    A link of `root` to a folder, such as Debian's /lib, stays and is followed; a file is replaced in one step.
    """
    made = []
    for path in walk(source):
        relative = path.relative_to(source)
        if "__pycache__" in relative.parts:
            continue
        target = root / relative
        if path.is_dir() and not path.is_symlink():
            if not target.is_dir():
                target.mkdir(0o755)
            continue
        executable = not path.is_symlink() and path.stat().st_mode & 0o100
        with files.replacing(target, 0o755 if executable else 0o644) as part:
            part.unlink()
            shutil.copyfile(path, part, follow_symlinks=False)
        made.append(relative)
    return made


if __name__ == "__main__":
    print(digest(Path(sys.argv[1])))
