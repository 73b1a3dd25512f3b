"""Keeps what each stage made, under the hash of everything that it was made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path

from models import files
from models.bundle import sha256

KEPT = 4  # results a stage keeps, newest first
PART = ".part-"


@dataclass(frozen=True)
class Cache:
    """Results of stages as directories below `root`.

    >>> import tempfile
    >>> cache = Cache(Path(tempfile.mkdtemp()))
    >>> first = cache.get("greet", {"name": "you"}, lambda out: Path(out, "text").write_text("hello"))
    >>> again = cache.get("greet", {"name": "you"}, lambda out: 1 / 0)
    >>> first == again, (again / "text").read_text()
    (True, 'hello')
    """

    root: Path

    def has(self, stage: str, inputs: Mapping[str, object]) -> bool:
        return self._place(stage, inputs).is_dir()

    def get(
        self,
        stage: str,
        inputs: Mapping[str, object],
        make: Callable[[Path], object],
        waiting: Callable[[], object] = lambda: None,
    ) -> Path:
        """The directory that `make` filled for these inputs, now or in an earlier run.

        `inputs` maps names to files or directories (counted by content), dataclasses, and what JSON can hold. `make`
        gets an empty directory; when it raises, nothing is kept. Where another process is making the same, `waiting` is
        called, and what that one made is taken.
        """
        place = self._place(stage, inputs)
        self.root.mkdir(parents=True, exist_ok=True)
        if not place.is_dir():
            with files.alone(place, waiting):
                if not place.is_dir():
                    self._make(stage, place, make)
        os.utime(place)
        return place

    def _make(self, stage: str, place: Path, make: Callable[[Path], object]) -> None:
        self._sweep()
        part = self.root / f"{PART}{os.getpid()}-{stage}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            make(part)
            part.rename(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._prune(stage)

    def _place(self, stage: str, inputs: Mapping[str, object]) -> Path:
        text = json.dumps({name: _plain(value) for name, value in inputs.items()}, sort_keys=True)
        return self.root / f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _sweep(self) -> None:
        """What runs that were killed have left."""
        for part in self.root.glob(f"{PART}*"):
            owner = part.name.removeprefix(PART).split("-")[0]
            if not Path("/proc", owner).exists():
                shutil.rmtree(part, ignore_errors=True)

    def _prune(self, stage: str) -> None:
        kept = sorted(self.root.glob(f"{stage}-*"), key=lambda p: p.stat().st_mtime, reverse=True)
        for place in kept[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return content(value)
    if is_dataclass(value) and not isinstance(value, type):
        return json.loads(json.dumps(asdict(value), default=str))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def content(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a directory."""
    if path.is_file():
        return sha256(path)
    listing = [(str(p.relative_to(path)), sha256(p)) for p in sorted(path.rglob("*")) if p.is_file()]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
