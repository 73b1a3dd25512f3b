"""`provisioning/flash`: write a disk image to an SD card, surely and only there.

Order: look at the device, read the image through, say what will be erased and ask, write, read back, eject. Nothing
is written before the name was typed.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from models import terminal
from models.errors import UserError
from provisioning.flasher import disks, writing
from provisioning.flasher.disks import GIGABYTE
from provisioning.flasher.image import Progress, inspect

SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@terminal.guarded()
def main(arguments: Sequence[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Run the command; `ask` gets a question and answers it. Returns the exit status."""
    given = parser().parse_args(arguments)
    try:
        if given.list or not given.device:
            _list(given.largest)
            if not given.list:
                raise UserError("name the image and the device: provisioning/flash IMAGE DEVICE")
        else:
            _flash(given, ask)
    except UserError as error:
        print(f"flash: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nflash: stopped; a card that was being written holds no whole image", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="provisioning/flash", description="Write a disk image to an SD card.")
    top.add_argument("image", type=Path, metavar="IMAGE", nargs="?", help="*.img or *.img.zst, its .bmap beside it")
    top.add_argument("device", type=Path, metavar="DEVICE", nargs="?", help="the card's device, such as /dev/sdX")
    top.add_argument("--list", action="store_true", help="list the disks of this machine, and stop")
    top.add_argument("--yes", action="store_true", help="do not ask; never holds for a disk that is not removable")
    top.add_argument("--largest", type=size, default=256 * GIGABYTE, metavar="SIZE", help="refuse above this (256G)")
    return top


def size(text: str) -> int:
    """A size as people write it, in bytes; units are powers of 1000.

    >>> size("64G"), size("1.5T"), size("4096")
    (64000000000, 1500000000000, 4096)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: write a size as 64G or 1.5T")
    return int(Fraction(match[1]) * SIZES[match[2]])


def _list(largest: int) -> None:
    for disk in disks.list_disks():
        if disk.size and disk.type in ("disk", "loop"):
            against = disks.refusals(disk, 0, largest)
            verdict = f"no: {against[0]}" if against else "can be written" + ("" if disk.hotplug else ", not removable")
            print(f"{disks.describe(disk)[0]}\n    {verdict}")


def _flash(given: argparse.Namespace, ask: Callable[[str], str]) -> None:
    device = _block_device(given.device)
    disk = disks.find(disks.list_disks(), device)
    _refuse(disks.refusals(disk, 0, given.largest))
    writing.check_unused(device)
    if given.yes and not disk.hotplug:
        raise UserError(f"{device} is not removable: --yes does not hold for it; leave it out and type the name")

    image = inspect(given.image, _meter("reading the image"))
    _refuse([reason for reason in [disks.size_refusal(disk, image.size, given.largest)] if reason])
    print("\n".join(["", "This will be erased:", *disks.describe(disk), ""]))
    if not disk.hotplug:
        print(f"{device} is not removable: this is hardly an SD card.")
    if not given.yes:
        answer = ask(f"Type {disk.name} to write {given.image.name} to it: ").strip()
        if answer not in (disk.name, disk.path):
            raise UserError(f"{answer!r} is not {disk.name}; nothing was written")
    again = disks.find(disks.list_disks(), device)
    if (again.model, again.serial, again.size) != (disk.model, disk.serial, disk.size):
        raise UserError(f"{device} is another device than it was; nothing was written")
    _refuse(disks.refusals(again, image.size, given.largest))

    writing.write(image, device, _meter("writing", image.mapped if image.block_map else image.size))
    writing.verify(image, device, _meter("reading back", image.mapped))
    print(f"{device}: holds {given.image.name}, read back and equal; {writing.release(device)}")


def _block_device(path: Path) -> Path:
    try:
        device = path.resolve(strict=True)
    except OSError:
        raise UserError(f"{path}: no such device; run provisioning/flash --list for those that are there") from None
    if not device.is_block_device():
        kind = "folder" if device.is_dir() else "file" if device.is_file() else "special file"
        raise UserError(f"{path} is a {kind}, not a block device; a card is something like /dev/sdX or /dev/mmcblkN")
    return device


def _refuse(reasons: list[str]) -> None:
    if reasons:
        raise UserError("; ".join(reasons))


def _meter(title: str, total: int = 0, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Shows how far it is, on a terminal, twice a second at most."""
    done, shown = 0, clock()

    def advance(count: int) -> None:
        nonlocal done, shown
        done += count
        now = clock()
        if sys.stderr.isatty() and (now - shown >= 0.5 or done == total):
            shown = now
            share = f" of {total / 1e6:.0f} MB, {100 * done // total} %" if total else " MB"
            end = "\n" if done == total else ""
            print(f"\r{title}: {done / 1e6:.0f}{share}", end=end, file=sys.stderr, flush=True)

    return advance
