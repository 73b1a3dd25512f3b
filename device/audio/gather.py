"""Which recordings are meant: files as they are named, and what a folder has in it.

>>> [found.path.name for found in gather([Path("speech.wav")])]
['speech.wav']
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError

SUFFIXES = frozenset(
    ".3gp .aac .aif .aiff .amr .au .caf .flac .m4a .m4b .mka .mkv .mov .mp3 .mp4 .mpeg .mpg .oga .ogg .opus .rf64 .w64 "
    ".wav .webm .wma".split()
)
"""Of files that a folder is searched for; a file that is named may have any."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, and its path below the folder that was named, or its name alone."""

    path: Path
    below: Path


def gather(paths: Iterable[Path]) -> Iterator[Recording]:
    """The recordings that `paths` name, those in folders and their folders in order of their names.

    UserError for a folder without any, or that cannot be read. A file need not exist: who opens it says so.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path)
        else:
            yield Recording(path, Path(path.name))


def _in_folder(folder: Path) -> Iterator[Recording]:
    def failed(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}")

    found = [
        Path(where, name)
        for where, _, names in os.walk(folder, onerror=failed)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    ]
    if not found:
        raise UserError(f"{folder}: no recordings in this folder; name the files, whatever their endings are")
    yield from (Recording(path, path.relative_to(folder)) for path in sorted(found))
