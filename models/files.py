"""Files that are written whole or not at all, and by one process at a time where two would be in each other's way.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> write(folder / "words", "hello")
>>> with replacing(folder / "words") as part:
...     part.write_text("not finished")
...     raise ValueError
Traceback (most recent call last):
ValueError
>>> [path.name for path in folder.iterdir()], (folder / "words").read_text()
(['words'], 'hello')

`replacing` writes beside the file's place, onto the disk, and renames; `alone` is a lock.

Three places write files in ways of their own: `device/output/jsonl.py` appends; `device/vocabulary/user_words.py` works
in a folder of another user, where no name may be followed; the updater in `provisioning/rootfs-overlay` goes through an
interface on which every power cut is tried, and imports nothing that an update may replace.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp

PUBLIC = 0o644


@contextmanager
def replacing(path: Path, mode: int = PUBLIC) -> Iterator[Path]:
    """An empty file, readable by its owner alone, to be written in the block; it takes the place of `path` at its end.

    It then has `mode`, unless the block made it a link. Where the block fails it is gone, and `path` as it was.
    Raises OSError.
    """
    handle, name = mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        if not part.is_symlink():
            part.chmod(mode)
            _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def write(path: Path, content: str | bytes, mode: int = PUBLIC) -> None:
    """Replace `path` by a file with `content` (text is UTF-8). Raises OSError."""
    with replacing(path, mode) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def alone(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Runs the block in one process and thread at a time for this `path`, a file or folder that need not exist.

    `waiting` is called once if another has it. The lock is a file beside `path`, gone at the end; the lock of a process
    that was killed is free. A block must not ask for its own path again, nor start and await a process that does.
    Raises OSError, FileNotFoundError where there is no folder to lock in.
    """
    lock = path.with_name(f".{path.name.removeprefix('.')}.lock")
    descriptor = _locked(lock, waiting)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path, waiting: Callable[[], object]) -> int:
    """A descriptor of the file `lock`, locked, while the file has that name: who had it before may have removed it."""
    told = False
    while True:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    waiting()
                told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
