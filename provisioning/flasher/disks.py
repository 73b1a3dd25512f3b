"""Which block devices are there, and whether one may be overwritten: pure functions over what lsblk reports.

>>> card = BlockDevice("sdb", "/dev/sdb", "disk", size=31_914_983_424, hotplug=True)
>>> refusals(card, need=2_000_000_000, largest=GIGABYTE * 256)
[]
>>> refusals(replace(card, mountpoints=("/media/me/DICTATE",)), need=0, largest=GIGABYTE * 256)
['/dev/sdb is mounted at /media/me/DICTATE; unmount it: umount /dev/sdb']
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import UserError
from provisioning.common import process

__all__ = ["GIGABYTE", "BlockDevice", "describe", "find", "list_disks", "parse", "refusals", "replace", "size_refusal"]

GIGABYTE = 10**9
COLUMNS = "NAME,PATH,TYPE,SIZE,RO,RM,HOTPLUG,TRAN,VENDOR,MODEL,SERIAL,FSTYPE,LABEL,MOUNTPOINTS"
SYSTEM_MOUNTS = ("/", "/boot", "/usr", "/var", "/home", "/etc", "/opt", "/srv", "/nix")


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """One block device as lsblk sees it, with what is made of it (partitions, volumes, arrays) as `children`."""

    name: str
    path: str
    type: str
    size: int
    """In bytes."""
    read_only: bool = False
    hotplug: bool = False
    """Whether it is made to be taken out: a removable medium, or at USB or in a card slot."""
    model: str = ""
    serial: str = ""
    filesystem: str = ""
    label: str = ""
    mountpoints: tuple[str, ...] = ()
    children: tuple[BlockDevice, ...] = ()

    def walk(self) -> Iterator[BlockDevice]:
        """This device and all that is made of it, at any depth."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(report: str) -> list[BlockDevice]:
    """The trees in the output of ``lsblk --json --bytes`` with COLUMNS. Raises UserError if it is something else."""
    try:
        return [_disk(entry) for entry in json.loads(report)["blockdevices"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"lsblk: its report cannot be read ({error}); util-linux 2.37 or newer is needed") from error


def list_disks() -> list[BlockDevice]:
    """Every block device of this machine. Raises UserError."""
    return parse(process.run("lsblk", "--all", "--json", "--bytes", "--tree", "--output", COLUMNS))


def find(disks: Sequence[BlockDevice], device: Path) -> BlockDevice:
    """The whole disk that `device`, a path without symbolic links, names.

    Raises UserError for anything else: a partition, a volume, a name that nothing has.
    """
    for disk in disks:
        for part in disk.walk():
            if part.path != str(device):
                continue
            if part is not disk:
                kind = "partition" if part.type == "part" else part.type
                raise UserError(f"{device} is a {kind} of {disk.path}; name the whole disk: {disk.path}")
            return disk
    raise UserError(f"{device} is no disk that lsblk knows; run provisioning/flash --list for those that are there")


def refusals(disk: BlockDevice, need: int, largest: int) -> list[str]:
    """Why `disk` may not be overwritten with `need` bytes; empty if nothing speaks against it."""
    system = [point for part in disk.walk() for point in part.mountpoints if _of_the_system(point)]
    if system:
        points = ", ".join(dict.fromkeys(system))
        return [f"{disk.path} holds the running system ({points}); that is never overwritten"]
    reasons = [*_in_use(disk)]
    if disk.type not in ("disk", "loop"):
        reasons.append(f"{disk.path} is of the kind {disk.type}, not a disk")
    if disk.read_only:
        reasons.append(f"{disk.path} is read-only; slide the card's lock towards its contacts and put it in again")
    size = size_refusal(disk, need, largest)
    return reasons + ([size] if size else [])


def size_refusal(disk: BlockDevice, need: int, largest: int) -> str | None:
    """Why the size of `disk` does not do, if so: below `need` bytes, or above `largest` bytes."""
    if disk.size == 0:
        return f"{disk.path} holds no medium; put the card in"
    if disk.size < need:
        return f"{disk.path} is too small: {_bytes(disk.size)}, and the image needs {_bytes(need)}"
    if disk.size > largest:
        return (
            f"{disk.path} is larger than cards are: {_bytes(disk.size)}, limit {_bytes(largest)}; "
            "if it is the right one, raise the limit with --largest"
        )
    return None


def describe(disk: BlockDevice) -> list[str]:
    """What will be erased: a line for the device, one for each thing on it."""
    about = ", ".join(filter(None, [disk.model, f"serial {disk.serial}" if disk.serial else "", _bytes(disk.size)]))
    lines = [f"{disk.path}: {about}"]
    for part in disk.walk():
        if part is not disk or part.filesystem:
            label = f' "{part.label}"' if part.label else ""
            lines.append(f"  {part.path}: {_bytes(part.size)}, {part.filesystem or 'no file system known'}{label}")
    return lines if len(lines) > 1 else [*lines, "  no partitions and no file system"]


def _in_use(disk: BlockDevice) -> Iterator[str]:
    for part in disk.walk():
        for point in part.mountpoints:
            yield f"{part.path} is mounted at {point}; unmount it: umount {part.path}"
        if part is not disk and part.type != "part":
            yield f"{disk.path} is in use by {part.path} ({part.type}); stop that first"


def _of_the_system(point: str) -> bool:
    return point == "[SWAP]" or any(point == known or point.startswith(f"{known}/") for known in SYSTEM_MOUNTS)


def _disk(entry: Mapping[str, Any]) -> BlockDevice:
    points = entry.get("mountpoints") or []
    if not isinstance(points, list):
        raise TypeError("mountpoints is no list")
    return BlockDevice(
        name=str(entry["name"]),
        path=str(entry["path"]),
        type=str(entry["type"]),
        size=int(entry["size"] or 0),
        read_only=bool(entry["ro"]),
        hotplug=bool(entry["rm"]) or bool(entry["hotplug"]) or entry.get("tran") in ("usb", "mmc"),
        model=" ".join(filter(None, [(entry.get("vendor") or "").strip(), (entry.get("model") or "").strip()])),
        serial=(entry.get("serial") or "").strip(),
        filesystem=entry.get("fstype") or "",
        label=entry.get("label") or "",
        mountpoints=tuple(point for point in points if point),
        children=tuple(_disk(child) for child in entry.get("children") or []),
    )


def _bytes(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
