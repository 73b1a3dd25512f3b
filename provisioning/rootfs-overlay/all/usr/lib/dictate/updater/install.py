"""Installing an update: checked, unpacked beside, then put on trial in one step.

Whatever fails, or if the power does, the release in force stays as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from updater import package
from updater.errors import LifecycleError, Refused
from updater.releases import FACTORY, Release, Store

SIGNERS = Path("etc/dictate-keys/allowed_signers")
CARD_FILE = Path("boot/firmware/dictate.update")
SPARE = 32 << 20
"""Bytes of the data partition that an update leaves free, for the journal."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a release must have been made for."""

    machine: str = field(default_factory=platform.machine)
    python: str = f"cp{sys.version_info.major}{sys.version_info.minor}"


def install(
    file: Path,
    store: Store,
    machine: Platform,
    say: Callable[[str], None],
    *,
    downgrade: bool = False,
    card: bool = False,
) -> bool:
    """Put the release of an update file on trial; returns whether there is anything new to start.

    Unless `downgrade`, an older version than the one in force is refused, and a serial that is not above that of every
    release that has been ready here. With `card` a file that was dealt with before is passed over. Raises
    LifecycleError, and leaves everything as it was.
    """
    try:
        with store.locked("update", wait=False), package.opened(file) as update:
            if card and update.mark == store.state().card:
                return False
            release = update.verified(store.root / SIGNERS)
            _suits(release, machine)
            if not _runs(release, store) and not downgrade:
                _newer(release, store)
            return _install(update, release, store, say)
    except BlockingIOError:
        raise LifecycleError("another update is being installed; wait for it") from None
    except PermissionError as error:
        raise LifecycleError(f"{error.filename}: permission denied; update as root") from None
    except OSError as error:
        raise LifecycleError(f"{file.name}: {error}; nothing was changed") from None


def install_card(store: Store, machine: Platform, say: Callable[[str], None]) -> bool:
    """Install the update file on the card, if there is one that was not dealt with before.

    A file that was refused for what it is stays refused without being read as an update again. Raises LifecycleError.
    """
    file = store.root / CARD_FILE
    if not file.exists():
        return False
    state = store.state()
    if state.refused and state.refused == _content(file, state.refused):
        raise LifecycleError(state.reason)
    try:
        return install(file, store, machine, say, card=True)
    except Refused as error:
        reason = str(error)
        with contextlib.suppress(OSError):
            store.change(lambda state: replace(state, refused=_content(file), reason=reason))
        raise


def _content(file: Path, like: str = "") -> str:
    """A file's size and SHA-256; the size alone where that tells it from `like`, or is beyond what is read."""
    size = file.stat().st_size
    if size > package.LARGEST or (like and not like.startswith(f"{size}:")):
        return f"{size}:"
    with file.open("rb") as stream:
        return f"{size}:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _suits(release: Release, machine: Platform) -> None:
    if (release.machine, release.python) != (machine.machine, machine.python):
        raise LifecycleError(
            f"this update is for {release.machine} with {release.python}, this machine is {machine.machine} with "
            f"{machine.python}; make it for this one"
        )


def _newer(release: Release, store: Store) -> None:
    """Refuse what an attacker could replay: anyone can keep a signed update of a version with a known fault."""
    current, highest = store.release(store.chosen()), store.state().highest
    if release.order < current.order:
        raise LifecycleError(
            f"this update has version {release.version}, older than {current.version}, which runs; "
            "say --downgrade to install it"
        )
    if release.serial <= highest:
        raise LifecycleError(
            f"this update has serial {release.serial}, not above {highest}, which was ready here: it is an old one; "
            "make it anew, or say --downgrade to install it"
        )


def _runs(release: Release, store: Store) -> bool:
    state = store.state()
    return release.id in (state.current, _factory_id(store) if state.current == FACTORY else "")


def _install(update: package.Package, release: Release, store: Store, say: Callable[[str], None]) -> bool:
    state = store.state()
    if _runs(release, store):
        say(f"{release.id} ({release.version}) runs already")
        store.change(lambda state: replace(state, card=update.mark))
        return False
    store.collect()
    target, beside = store.path(release.id), store.folder / ".incoming"
    if release.id != state.previous or store.problem(release.id):
        store.disk.remove(beside)
        try:
            update.extract(release, beside, lambda: _free_bytes(store.folder))
            store.disk.sync_all()
        except BaseException:
            store.disk.remove(beside)
            raise
        store.disk.remove(target)
        store.disk.rename(beside, target)
        store.disk.sync(store.folder)
    store.change(lambda state: replace(state.installed(release.id, release.serial), card=update.mark))
    say(f"{release.id} ({release.version}) is installed; it stays if it becomes ready")
    return True


def _factory_id(store: Store) -> str:
    return store.release(FACTORY).id


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize - SPARE
