"""Stand-ins for hardware that tests of the accelerator share: a faulty libedgetpu, a Coral in sysfs, a clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from needs import Need, skip

from device.inference.edgetpu.usb import BOOTLOADER, RUNNING

HERE = Path(__file__).parents[1]
ROOT = HERE.parent
SHAPE = (1, 1, 32, 8)


def build_delegate(folder: Path) -> Path:
    """Compile the faulty delegate, a real loadable library."""
    library = folder / "libedgetpu.so.1"
    source = HERE / "data" / "edgetpu" / "faulty_delegate.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    return library


def plug_in(root: Path, ids: tuple[str, str] = RUNNING, speed: str = "5000") -> tuple[Path, Path]:
    """A sysfs and a /dev/bus/usb below `root` with one Coral among other devices."""
    sysfs, dev = root / "sys", root / "dev"
    for name, (vendor, product), number in [
        ("usb2", ("1d6b", "0003"), 1),
        ("2-1", ids, 4),
        ("2-1:1.0", ("", ""), 0),
        ("2-2", ("0781", "5581"), 5),
    ]:
        device = sysfs / name
        device.mkdir(parents=True, exist_ok=True)
        if vendor:
            fields = {"idVendor": vendor, "idProduct": product, "busnum": "2", "devnum": str(number)}
            for key, value in {**fields, "speed": speed}.items():
                (device / key).write_text(value + "\n")
    node = dev / "002" / "004"
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch()
    return sysfs, dev


# Gives up root's right to read everything, then becomes the given command.
DROP = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def unprivileged(code: str, *arguments: str) -> str:
    """What Python `code` prints when it runs bound by file permissions, even if we are root."""
    command = [sys.executable, "-c", code, *arguments]
    if os.geteuid() == 0:
        command = [sys.executable, "-c", DROP, *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        skip(Need.KERNEL, "that root can give up its rights (prctl)")
    return done.stdout + done.stderr


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


__all__ = ["BOOTLOADER", "RUNNING", "SHAPE", "Clock", "build_delegate", "plug_in", "unprivileged"]
