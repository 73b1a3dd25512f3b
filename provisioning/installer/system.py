"""Which system this is, and whether the appliance can be put on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError
from provisioning.common import process
from provisioning.common.layer import FACTORY
from provisioning.common.target import Target

RELEASES = {"bookworm": "cp311", "trixie": "cp313"}
"""Supported releases of Debian and Raspberry Pi OS, and their Python."""
PACKAGES = ("python3-pip", "python3-pyaudio", "alsa-utils", "libusb-1.0-0", "libstdc++6", "openssh-client", "zstd",
            "gcc", "libc6-dev", "device-tree-compiler")  # fmt: skip
MACHINES = ("aarch64", "x86_64")
PYTHON = Path("usr/bin/python3")
ASK_PYTHON = "import platform, struct, sys; print(*sys.version_info[:2], platform.machine(), struct.calcsize('P'))"


@dataclass(frozen=True, slots=True)
class System:
    """A system that the appliance runs on: name for people, codename, and what its Python is."""

    name: str
    codename: str
    target: Target


def recognise(root: Path = Path("/")) -> System:
    """The system at `root`. Raises UserError, saying what is missing, for any that is not supported."""
    fields = os_release(root)
    name, codename = fields.get("PRETTY_NAME", "an unknown system"), fields.get("VERSION_CODENAME", "")
    if not {"debian", "raspbian"} & {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}:
        raise UserError(f"{name} is neither Debian nor Raspberry Pi OS; take one of these, or flash the image")
    if codename not in RELEASES or fields.get("ID") not in ("debian", "raspbian"):
        raise UserError(f"{name} is not supported; take Debian or Raspberry Pi OS {' or '.join(RELEASES)}")
    if not (root / PYTHON).exists():
        raise UserError(f"{name} lacks its Python; install the package python3")
    major, minor, machine, pointer = _python(root)
    if int(pointer) != 8 or machine not in MACHINES:
        raise UserError(f"{name} for {machine}, {int(pointer) * 8} bit, is not supported; take the 64-bit one")
    if f"cp{major}{minor}" != RELEASES[codename]:
        raise UserError(f"/usr/bin/python3 is {major}.{minor}, which {codename} does not have; put Debian's back")
    return System(name, codename, Target(RELEASES[codename], machine))


def os_release(root: Path) -> dict[str, str]:
    """The fields of os-release(5); none if there is no such file."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        try:
            text = (root / place).read_text(errors="replace")
        except OSError:
            continue
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
        return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
    return {}


def is_our_image(root: Path, installed: bool) -> bool:
    """Whether the tree is one of our own images: it has a factory release that no installation put there."""
    return (root / FACTORY).is_dir() and not installed


def _python(root: Path) -> list[str]:
    done = process.attempt(root / PYTHON, "-I", "-c", ASK_PYTHON)
    if done.returncode:
        raise UserError(f"{root / PYTHON} does not run: {(done.stderr.strip().splitlines() or ['no words'])[-1]}")
    return done.stdout.split()
