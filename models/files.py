"""Files that are written whole or not at all: beside their place, onto the disk, and renamed.

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

Three places write files in ways of their own: `device/output/jsonl.py` appends; `device/vocabulary/user_words.py` works
in a folder of another user, where no name may be followed; the updater in `provisioning/rootfs-overlay` goes through an
interface on which every power cut is tried, and imports nothing that an update may replace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
