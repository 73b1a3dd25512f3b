"""Puts the layer onto a root tree and takes it away again, by the manifest; nothing here asks or installs packages."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from models import files
from provisioning.common import layer, process, tree
from provisioning.installer import boot, manifest
from provisioning.installer.manifest import PLACE, SAVED, Manifest

STATE = (Path("var/lib/dictate"), Path("var/lib/dictate-releases"), Path("etc/dictate"))
"""What a user's work is in: journal, updates, configuration. Only a purge removes it."""

Say = Callable[[str], None]


def plan(root: Path, before: Manifest | None) -> Manifest:
    """What putting the layer onto `root` would change, beside packages; `before` is what was put there earlier."""
    known = before or Manifest()
    files = {str(path): _print(layer.OVERLAY / path) for path in _overlay_files()}
    if (root / layer.METER_OVERLAY.parents[1]).is_dir():
        files[str(layer.METER_OVERLAY)] = ""
    config = str(boot.find(root) or "")
    folders = [str(folder) for folder in _folders(files) if not (root / folder).is_dir()]
    replaced = [name for name in files if name not in known.files and (root / name).exists()]
    return Manifest(
        files=files,
        trees=(str(layer.FACTORY),),
        folders=_joined(known.folders, folders),
        saved=_joined(known.saved, replaced + ([config] if config and config != known.config else [])),
        config=config,
        units=_units(),
        packages=known.packages,
        groups=_joined(known.groups, _declared("g", "m", "u") - _names(root, "etc/group")),
        users=_joined(known.users, _declared("u") - _names(root, "etc/passwd")),
    )


def apply(
    root: Path, release: Path, planned: Manifest, config_lines: Sequence[str] = boot.KEYBOARD, say: Say = lambda _: None
) -> None:
    """Put the layer and `release` onto `root` as planned.

    A failure leaves a manifest by which both a second try and taking away work. Raises UserError.
    """
    known = manifest.read(root) or Manifest()
    for name in planned.saved:
        _save(root / name, root / SAVED / name)
    for name, was in known.files.items():
        if was and (root / name).is_file() and _print(root / name) != was:
            _copy(root / name, root / f"{name}.yours")
            say(f"/{name} was changed since: your version is now /{name}.yours")
    manifest.write(root, replace(planned, complete=False))
    if planned.config:
        path = root / planned.config
        _write(path, boot.with_block(_text(path), config_lines))
    for name in set(known.files) - set(planned.files):
        _take_file(root, name, known.files[name], name in known.saved)
    made = {str(path) for path in layer.apply(root, release)} - set(planned.trees)
    manifest.write(root, replace(planned, files={name: _print(root / name) for name in sorted(made)}, complete=True))


def remove(root: Path, there: Manifest, purge: bool = False, say: Say = lambda _: None) -> None:
    """Remove what the manifest names, and put back what was there before. What its owner changed since stays.

    `purge` also removes journal, configuration, updates and the user. Raises UserError.
    """
    layer_units = [unit for unit in there.units if (root / "usr/lib/systemd/system" / unit).exists()]
    if layer_units:
        process.run("systemctl", f"--root={root}", "disable", *layer_units)
    for name in there.trees:
        shutil.rmtree(root / name, ignore_errors=True)
    for name, known in there.files.items():
        if not _take_file(root, name, known, name in there.saved):
            say(f"/{name} was changed since: it stays")
    if there.config and (root / there.config).exists():
        _restore_config(root / there.config, root / SAVED / there.config)
    if purge:
        for path in STATE:
            shutil.rmtree(root / path, ignore_errors=True)
        _remove_users(root, there)
    for folder in sorted(there.folders, key=len, reverse=True):
        if (root / folder).is_dir() and not any((root / folder).iterdir()):
            (root / folder).rmdir()
    shutil.rmtree(root / PLACE)


def _take_file(root: Path, name: str, known: str, saved: bool) -> bool:
    """Remove one file, or put back what was there before; False if it is no longer as it was put there, and stays."""
    path, before = root / name, root / SAVED / name
    there = path.is_symlink() or path.exists()
    if there and known and _print(path) != known:
        return saved and before.exists() and _print(path) == _print(before)
    if saved and before.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy(before, path)
    elif there:
        path.unlink()
    return True


def _restore_config(path: Path, before: Path) -> None:
    """Take our lines out of config.txt; it is exactly what it was if nobody changed anything else."""
    rest = boot.without_block(_text(path))
    if before.exists() and boot.without_block(boot.with_block(_text(before))) == rest:
        rest = _text(before)
    _write(path, rest)


def _save(path: Path, place: Path) -> None:
    """Keep a file that will be replaced, once."""
    if path.exists() and not place.exists():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(path, place)


def _copy(source: Path, target: Path) -> None:
    mode = source.lstat().st_mode & 0o7777
    with files.replacing(target, mode) as part:
        part.unlink()
        shutil.copy2(source, part, follow_symlinks=False)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _write(path: Path, text: str) -> None:
    files.write(path, text.encode("utf-8", "surrogateescape"), path.stat().st_mode & 0o7777)


def _joined(first: Iterable[str], then: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *sorted(then)]))


def _overlay_files() -> Iterator[Path]:
    for path in tree.walk(layer.OVERLAY):
        if "__pycache__" not in path.parts and (path.is_symlink() or not path.is_dir()):
            yield path.relative_to(layer.OVERLAY)


def _folders(files: dict[str, str]) -> list[Path]:
    """Every folder above `files` and the factory release, outermost first."""
    above = {parent for name in (*files, str(layer.FACTORY)) for parent in Path(name).parents}
    return sorted(above - {Path()}, key=lambda path: len(path.parts))


def _units() -> tuple[str, ...]:
    lines = [line.split() for path in _overlay_files() if path.parent == layer.PRESETS
             for line in (layer.OVERLAY / path).read_text().splitlines()]  # fmt: skip
    return tuple(words[1] for words in lines if words[:1] == ["enable"])


def _declared(*kinds: str) -> set[str]:
    """Names that sysusers.d of the overlay declares: users (u), groups (g), groups that a user joins (m)."""
    found = set()
    for path in _overlay_files():
        if path.parent == Path("usr/lib/sysusers.d"):
            for line in (layer.OVERLAY / path).read_text().splitlines():
                words = line.split()
                if words and words[0] in kinds:
                    found.add(words[2] if words[0] == "m" else words[1])
    return found


def _names(root: Path, database: str) -> set[str]:
    path = root / database
    return {line.partition(":")[0] for line in path.read_text().splitlines()} if path.exists() else set()


def _remove_users(root: Path, there: Manifest) -> None:
    for user in set(there.users) & _names(root, "etc/passwd"):
        process.run("userdel", *_prefix(root), user)
    for group in set(there.groups) & _names(root, "etc/group"):
        process.run("groupdel", *_prefix(root), group)


def _prefix(root: Path) -> list[str]:
    return [] if root == Path("/") else ["--prefix", str(root)]


def _print(path: Path) -> str:
    return f"link:{path.readlink()}" if path.is_symlink() else _digest(path.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
