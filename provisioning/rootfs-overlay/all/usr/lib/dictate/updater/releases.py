"""Which release a device runs: the factory's, or one that an update brought and that has shown that it works.

A new release is on trial: each start is counted before it is made, and one that is not ready after three starts
gives way to the release before it. All of the state is one file, replaced as a whole.

>>> state = State().installed("0123456789ab")
>>> state.begun().begun().begun().begun().current
'factory'
>>> state.begun().confirmed().begun().current
'0123456789ab'
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from updater import disk
from updater.disk import Disk, RealDisk

FACTORY = "factory"
TRIAL_STARTS = 3
"""So often a new release may be started without becoming ready."""
LARGEST_SERIAL = 2**53 - 1
"""Such that any reader of JSON has it exactly."""

UPDATES = Path("var/lib/dictate-releases")
BUILT_IN = Path("usr/lib/dictate/factory")


@dataclass(frozen=True, slots=True)
class State:
    """The release in force, the one before it, and whether the first is on trial."""

    current: str = FACTORY
    previous: str = FACTORY
    starts_left: int | None = None
    """Starts that a release on trial has left; None if it has been ready."""
    card: str = ""
    """The mark of the update file on the card that was dealt with last."""
    refused: str = ""
    """The size and SHA-256 of the file on the card that was refused last."""
    reason: str = ""
    """Why it was."""
    serial: int = 0
    """The serial of the release on trial."""
    highest: int = 0
    """The highest serial of a release that has been ready; going back does not lower it."""

    def installed(self, release: str, serial: int = 0) -> State:
        """`release` goes on trial; what has been ready stays to go back to."""
        if release == self.current:
            return self
        return replace(self, current=release, previous=self._proven, starts_left=TRIAL_STARTS, serial=serial)

    def begun(self) -> State:
        """A start is about to be made; a trial that has used up its starts is over."""
        if self.starts_left is None:
            return self
        return self.rolled_back() if self.starts_left <= 0 else replace(self, starts_left=self.starts_left - 1)

    def confirmed(self) -> State:
        """The release in force is ready; updates that were signed before it are no longer taken."""
        return replace(self, starts_left=None, serial=0, highest=max(self.highest, self.serial))

    def rolled_back(self) -> State:
        """The release before is in force; the factory's, if there is no other."""
        back = self.previous if self.previous != self.current else FACTORY
        return replace(self, current=back, previous=back, starts_left=None, serial=0)

    @property
    def _proven(self) -> str:
        return self.current if self.starts_left is None else self.previous


@dataclass(frozen=True, slots=True)
class Release:
    """What a release's release.json says; `files` has the SHA-256 of each file by its path."""

    id: str
    version: str
    python: str
    machine: str
    files: Mapping[str, str]
    serial: int = 0
    """What make-update gave it, higher than that of every update before; 0 for a release that came with an image."""

    @property
    def order(self) -> tuple[int, ...]:
        """The version, to be compared.

        >>> Release("", "0.10.1", "", "", {}).order
        (0, 10, 1)
        """
        return tuple(map(int, re.findall(r"\d+", self.version)))


def parse(manifest: bytes) -> Release:
    """Read a release.json and check all of it. Raises ValueError saying what is wrong."""
    try:
        said = json.loads(manifest)
        release = Release(
            said["id"], said["version"], said["python"], said["machine"], said["files"], said.get("serial", 0)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"release.json cannot be read: {type(error).__name__} {error}") from None
    texts = (release.id, release.version, release.python, release.machine)
    if not isinstance(release.files, dict) or not all(isinstance(text, str) for text in texts):
        raise ValueError("release.json has a value of the wrong type")
    if type(release.serial) is not int or not 0 <= release.serial <= LARGEST_SERIAL:
        raise ValueError("release.json has a serial that is none")
    for path, digest in release.files.items():
        if not re.fullmatch(r"(site|bundle)(/[^/\0]{1,255})+", path) or {".", ".."} & set(path.split("/")):
            raise ValueError(f"release.json names a file outside of site/ and bundle/: {path!r}")
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"release.json has no SHA-256 for {path}")
    listing = "".join(f"{digest}  {path}\n" for path, digest in sorted(release.files.items()))
    if release.id != hashlib.sha256(listing.encode("utf-8", "surrogatepass")).hexdigest()[:12]:
        raise ValueError("release.json has an id that is not its files'")
    return release


@dataclass(frozen=True, slots=True)
class Store:
    """The releases below the root folder `root`, and the state."""

    root: Path = Path("/")
    disk: Disk = field(default_factory=RealDisk)

    @property
    def folder(self) -> Path:
        """Where updates are kept."""
        return self.root / UPDATES

    def path(self, release: str) -> Path:
        """The folder of a release."""
        return self.root / BUILT_IN if release == FACTORY else self.folder / release

    def state(self) -> State:
        """The state; that of a new device where there is none that makes sense."""
        try:
            said = json.loads((self.folder / "state.json").read_bytes())
            state = State(**said)
            names = (state.current, state.previous)
            if not all(name == FACTORY or re.fullmatch(r"[0-9a-f]{12}", name) for name in names):
                return State()
            if not all(type(n) is int and 0 <= n <= LARGEST_SERIAL for n in (state.serial, state.highest)):
                return State()
            left = state.starts_left
            return state if left is None or (type(left) is int and left <= TRIAL_STARTS) else State()
        except (OSError, ValueError, TypeError, RecursionError):
            return State()

    def change(self, step: Callable[[State], State]) -> tuple[State, State]:
        """Take one step and keep the result, which is on the disk on return; returns the states before and after."""
        with self.locked("lock"):
            before = self.state()
            after = step(before)
            if after != before:
                disk.replace(self.disk, self.folder / "state.json", json.dumps(asdict(after)).encode())
        return before, after

    def chosen(self) -> str:
        """The release to run: the one in force, or the first that is there of those to fall back to."""
        state = self.state()
        for name in (state.current, state.previous):
            if (self.path(name) / "release.json").is_file() and (self.path(name) / "site").is_dir():
                return name
        return FACTORY

    def release(self, name: str) -> Release:
        """What a release says of itself. Raises OSError or ValueError."""
        return parse((self.path(name) / "release.json").read_bytes())

    def problem(self, name: str) -> str:
        """Why a release is not as it was made, in a few words; empty if it is."""
        try:
            for path, digest in self.release(name).files.items():
                with (self.path(name) / path).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        return f"{path} is damaged"
        except (OSError, ValueError) as error:
            return str(error)
        return ""

    def missing(self, name: str) -> str:
        """A file that a release should have and has not; empty if all are there. Reads none of them."""
        try:
            files = self.release(name).files
        except (OSError, ValueError) as error:
            return str(error)
        return next((path for path in files if not (self.path(name) / path).is_file()), "")

    def collect(self) -> None:
        """Remove the updates that are neither in force nor to go back to."""
        with self.locked("lock"):
            state = self.state()
            for path in sorted(self.folder.glob("[0-9a-f]*")):
                if re.fullmatch(r"[0-9a-f]{12}", path.name) and path.name not in (state.current, state.previous):
                    self.disk.remove(path)

    @contextlib.contextmanager
    def locked(self, name: str, wait: bool = True) -> Iterator[None]:
        """Hold a lock in the folder of updates. Raises BlockingIOError if it is held and not to be waited for."""
        lock = os.open(self.folder / f".{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(lock)
