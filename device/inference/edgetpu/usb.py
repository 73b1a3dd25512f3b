"""Finds a Coral USB Accelerator in sysfs, before and after its firmware is uploaded.

Ids and rule: libedgetpu, debian/edgetpu-accelerator.rules. A Coral shows as 1a6e:089a "Global Unichip" until the
first program that loads libedgetpu uploads its firmware; then it re-enumerates as 18d1:9302 "Google".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BOOTLOADER = ("1a6e", "089a")
RUNNING = ("18d1", "9302")
SYSFS = Path("/sys/bus/usb/devices")
DEV = Path("/dev/bus/usb")

UDEV_FILE = "/etc/udev/rules.d/60-coral.rules"
UDEV_RULES = tuple(
    f'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{vendor}", ATTRS{{idProduct}}=="{product}", GROUP="plugdev"'
    for vendor, product in (BOOTLOADER, RUNNING)
)
"""The lines that the udev file needs, for users in the group plugdev."""

PERMISSION_ADVICE = (
    f"`sudo usermod -aG plugdev $USER`, put these lines into {UDEV_FILE}: {' and '.join(UDEV_RULES)}; then "
    "`sudo udevadm control --reload && sudo udevadm trigger`, log in again and plug the Coral in again"
)


@dataclass(frozen=True)
class UsbCoral:
    """A Coral on the bus: its sysfs folder, its device node, what it runs, its speed in Mbit/s (None: unknown)."""

    sysfs: Path
    node: Path
    firmware: bool
    speed: int | None

    @property
    def slow(self) -> bool:
        """On USB 2: transfers take some eight times as long as on USB 3."""
        return self.speed is not None and self.speed < 5000

    def __str__(self) -> str:
        ids = ":".join(RUNNING if self.firmware else BOOTLOADER)
        state = "firmware running" if self.firmware else "firmware not uploaded yet"
        speed = "" if self.speed is None else f", {self.speed} Mbit/s"
        return f"{ids} at {self.sysfs.name}, {state}{speed}"


def find_coral(sysfs: Path = SYSFS, dev: Path = DEV) -> UsbCoral | None:
    """The first Coral on the USB bus; None if there is none.

    >>> find_coral(sysfs=Path("/nonexistent")) is None
    True
    """
    for device in sorted(sysfs.glob("*")):
        ids = (_read(device / "idVendor"), _read(device / "idProduct"))
        if ids not in (BOOTLOADER, RUNNING):
            continue
        bus, number, speed = (_read(device / name) for name in ("busnum", "devnum", "speed"))
        node = dev / bus.zfill(3) / number.zfill(3)
        return UsbCoral(device, node, ids == RUNNING, int(speed) if speed.isdigit() else None)
    return None


def permitted(coral: UsbCoral, access: Callable[[Path, int], bool] = os.access) -> bool:
    """Whether this process may open the Coral for reading and writing."""
    return access(coral.node, os.R_OK | os.W_OK)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
