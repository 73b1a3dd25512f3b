"""The check-list of docs/build-it.md as far as a program can run it: what was found, a row each, for a hardware report.

>>> find("5", Paths(Path("/nonexistent"))).found
'not to be seen here'
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from device.inference.edgetpu.usb import find_coral
from device.power.sensors import read_gauges

UNSEEN = "not to be seen here"
BY_HAND, DOCTOR, BENCH = "by hand", "see Checks", "see Benchmark"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the kernel tells of the machine."""

    root: Path = Path("/")

    def at(self, name: str) -> Path:
        """The path of `name` below the root."""
        return self.root / name

    def text(self, name: str) -> str:
        """A file's text, empty where it cannot be read."""
        try:
            return self.at(name).read_text(errors="replace").strip().strip("\0")
        except OSError:
            return ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the check-list: its number and title there, and what was found."""

    number: str
    what: str
    found: str


def _card(paths: Paths) -> str:
    mount = next((m for m in _mounts(paths) if m[1] == "/data"), None)
    if mount is None:
        return UNSEEN
    space = os.statvfs(paths.at("data"))
    sectors = paths.text(f"sys/class/block/{Path(mount[0]).name}/size")
    partition = f" of a partition of {int(sectors) * 512 / 1e9:.1f} GB" if sectors.isdigit() else ""
    return f"{space.f_blocks * space.f_frsize / 1e9:.1f} GB{partition}"


def _root(paths: Paths) -> str:
    options = [m[3].split(",") for m in _mounts(paths) if m[1] == "/"]
    return UNSEEN if not options else "read-only" if "ro" in options[-1] else "writable"


def _listening(paths: Paths) -> str:
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in paths.text(f"proc/net/{table}").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":  # TCP_LISTEN, include/net/tcp_states.h
                ports.add(int(local.rpartition(":")[2], 16))
    return "TCP ports " + ", ".join(map(str, sorted(ports))) if ports else "nothing by TCP"


def _model(paths: Paths) -> str:
    return paths.text("sys/firmware/devicetree/base/model") or UNSEEN


def _pins(paths: Paths) -> str:
    chip = paths.text("sys/bus/gpio/devices/gpiochip0/of_node/compatible").replace("\0", ", ")
    return chip or UNSEEN


def _usb_speed(paths: Paths) -> str:
    coral = find_coral(paths.at("sys/bus/usb/devices"), paths.at("dev/bus/usb"))
    return str(coral) if coral else "no Coral on USB"


def _heat(paths: Paths) -> str:
    celsius = read_gauges(paths.at("sys")).celsius
    return UNSEEN if celsius is None else f"{celsius:.0f} °C now"


def _mounts(paths: Paths) -> Iterator[list[str]]:
    for line in paths.text("proc/self/mounts").splitlines():
        if len(fields := line.split()) >= 4:
            yield fields


ROWS: dict[str, tuple[str, Callable[[Paths], str] | str]] = {
    "1": ("the Pi's firmware starts the card", BY_HAND),
    "2": ("the card was grown", _card),
    "3": ("the root is read-only", _root),
    "4": ("nothing listens that was not asked for", _listening),
    "5": ("model and revision", _model),
    "6": ("header pins", _pins),
    "7": ("LEDs and button", BY_HAND),
    "8": ("microphone", DOCTOR),
    "9": ("Coral on USB 3", _usb_speed),
    "10": ("Coral's firmware is loaded", _usb_speed),
    "11": ("Coral does the work", DOCTOR),
    "12": ("… and is worth it", BENCH),
    "13": ("a Coral pulled out while speaking", BY_HAND),
    "14": ("supply under load", DOCTOR),
    "15": ("heat", _heat),
    "16": ("meter, if wired", DOCTOR),
    "17": ("the computer sees a keyboard", BY_HAND),
    "18": ("every character arrives", BY_HAND),
    "19": ("a sleeping computer", BY_HAND),
    "20": ("first press after power-on", BY_HAND),
    "21": ("pulling the plug", BY_HAND),
    "22": ("switched off by the button", BY_HAND),
    "23": ("watchdog", BY_HAND),
}
"""Number in the check-list -> its title there, and what looks at it, or who does."""


def find(number: str, paths: Paths) -> Row:
    """Look at one row."""
    what, look = ROWS[number]
    try:
        return Row(number, what, look if isinstance(look, str) else look(paths))
    except (OSError, ValueError) as error:
        return Row(number, what, f"could not be looked at: {error}")


def rows(paths: Paths) -> list[Row]:
    """The whole check-list."""
    return [find(number, paths) for number in ROWS]
