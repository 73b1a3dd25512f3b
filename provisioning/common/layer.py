"""Turns a Debian or Raspberry Pi OS root tree into a dictation root; the one place that does.

`provisioning/rootfs-overlay/all/` goes onto every machine, `provisioning/rootfs-overlay/image/` only onto images of our
own, whose root is read-only. Which units are enabled is said by the presets in them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError
from provisioning.common import process, tree
from provisioning.common.target import REPOSITORY

OVERLAY = REPOSITORY / "provisioning" / "rootfs-overlay" / "all"
IMAGE_OVERLAY = REPOSITORY / "provisioning" / "rootfs-overlay" / "image"
FACTORY = Path("usr/lib/dictate/factory")
SIGNERS = Path("etc/dictate-keys/allowed_signers")
PRESETS = Path("usr/lib/systemd/system-preset")
METER = Path(__file__).with_name("ina219.dts")
METER_OVERLAY = Path("boot/firmware/overlays/ina219.dtbo")
TOOLS = ("systemctl", "systemd-sysusers", "dtc")


@dataclass(frozen=True, slots=True)
class Options:
    """What differs between the machines that get the layer."""

    own_image: bool = False
    """The root of our own image: read-only, with a data partition."""
    update_key: str = ""
    """A line of an SSH public key file: updates signed with it are accepted."""


def apply(root: Path, release: Path, options: Options = Options()) -> list[Path]:
    """Lay the overlay onto the root tree `root`, install the folder `release` as its factory release, enable units.

    Needs the rights of root where the tree belongs to root. Returns the files that it put there, relative to `root`
    (the factory release as its folder). Laying it again changes nothing. Raises UserError with the cause.
    """
    if not (root / "usr/lib").is_dir():
        raise UserError(f"{root} is no root file system: it has no usr/lib")
    made = tree.lay_over(OVERLAY, root)
    if options.own_image and IMAGE_OVERLAY.is_dir():
        made += tree.lay_over(IMAGE_OVERLAY, root)
        _mount_points(root)
    if (root / METER_OVERLAY.parents[1]).is_dir():
        made.append(_meter(root))
    install_release(release, root / FACTORY)
    made.append(FACTORY)
    if options.update_key:
        made.append(_trust(root, options.update_key))
    _users(root)
    _enable(root, [path for path in made if path.parent == PRESETS])
    return made


def install_release(release: Path, place: Path) -> None:
    """Copy a release to `place`, replacing what is there only once the copy is whole, if there is room for both."""
    if _same(release, place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    beside, before = place.with_name(f".{place.name}.new"), place.with_name(f".{place.name}.old")
    for stale in (beside, before):
        shutil.rmtree(stale, ignore_errors=True)
    if place.exists() and shutil.disk_usage(place).free < tree.size(release):
        shutil.rmtree(place)
    shutil.copytree(release, beside, symlinks=True)
    if place.exists():
        place.rename(before)
    beside.rename(place)
    shutil.rmtree(before, ignore_errors=True)


def _same(release: Path, place: Path) -> bool:
    description = place / "release.json"
    if not description.exists() or description.read_bytes() != (release / "release.json").read_bytes():
        return False
    return tree.file_hashes(place) == tree.file_hashes(release)


def _meter(root: Path) -> Path:
    """Compile the device-tree overlay of the power meter; config.txt loads it."""
    (root / METER_OVERLAY).parent.mkdir(exist_ok=True)
    process.run("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", root / METER_OVERLAY, METER)
    return METER_OVERLAY


def signer(key: str, name: str = "the update key") -> str:
    """The line of allowed_signers(5) for an SSH public key. Raises UserError, which calls the key `name`."""
    fields = key.split()
    if len(fields) < 2 or not fields[0].startswith(("ssh-", "ecdsa-", "sk-")):
        raise UserError(f"{name} is no SSH public key; give the .pub file that ssh-keygen wrote")
    return f'dictate namespaces="dictate-update" {fields[0]} {fields[1]}\n'


def _trust(root: Path, key: str) -> Path:
    line, path = signer(key), root / SIGNERS
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(line)
    return SIGNERS


def _mount_points(root: Path) -> None:
    """Make the folders that fstab mounts something at: a read-only root cannot when it starts."""
    lines = (line.split() for line in (root / "etc/fstab").read_text().splitlines() if not line.startswith("#"))
    for words in lines:
        (root / words[1].lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)


def _users(root: Path) -> None:
    """Make the users and groups now: where / is read-only the first boot cannot."""
    definitions = sorted((root / "usr/lib/sysusers.d").glob("dictate*.conf"))
    process.run("systemd-sysusers", f"--root={root}", *definitions)


def _enable(root: Path, presets: list[Path]) -> None:
    lines = [line.split() for preset in presets for line in (root / preset).read_text().splitlines()]
    for verb in ("enable", "disable"):
        units = [words[1] for words in lines if words[:1] == [verb] and len(words) == 2]
        if units:
            process.run("systemctl", f"--root={root}", verb, *units)
