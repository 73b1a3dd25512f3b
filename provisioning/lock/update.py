"""Resolve pyproject.toml into one lock file per room, each version with the hashes of its files: `make lock`.

The Python halves are resolved together (dev.txt) and the rooms are cut from that, so that what the tests ran against
is what a device installs. The device's locks are resolved for aarch64 and x86-64 and must come out the same, but for
packages that only boards have.

    python provisioning/lock/update.py            # keep versions where pyproject.toml allows it
    python provisioning/lock/update.py --upgrade  # take the newest
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from models import python

LOCK = Path(__file__).resolve().parent
ROOT = LOCK.parents[1]
X86 = "x86_64-manylinux_2_36"
ARM = "aarch64-manylinux_2_36"
BOARDS_ONLY = ("adafruit-lgpio",)
"""Packages that are locked though x86-64 has no use for them; provisioning/image/release.py leaves them out there."""


@dataclass(frozen=True)
class Room:
    """One lock file: which extras it installs, on which Python and which Linux machines."""

    name: str
    extras: tuple[str, ...]
    python: str = "3.11"
    platforms: tuple[str, ...] = (X86,)
    follow: bool = True
    """Whether versions follow dev.txt: not on another Python, and not for torch, which dev.txt lacks."""

    @property
    def path(self) -> Path:
        return LOCK / f"{self.name}.txt"


ROOMS = (
    Room("dev", ("device", "eval", "convert", "dev"), follow=False),
    Room("convert", ("convert",)),
    Room("train", ("convert", "train")),
    Room("device-py311", ("device", "eval"), platforms=(ARM, X86)),
    Room("device-py313", ("device", "eval"), python="3.13", platforms=(ARM, X86), follow=False),
)


def resolve(room: Room, platform: str, upgrade: bool) -> str:
    """The lock file's text for one platform. uv keeps the versions that the room's present file names."""
    command = python.module("uv", "pip", "compile", "--quiet", "pyproject.toml")
    command += ["--output-file", str(room.path)]
    command += [argument for extra in room.extras for argument in ("--extra", extra)]
    command += ["--python-version", room.python, "--python-platform", platform]
    command += ["--override", str(LOCK / "overrides.txt"), "--generate-hashes", "--no-header"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-config"]
    if room.follow:
        command += ["--constraint", str(LOCK / "dev.txt")]
    if upgrade:
        command += ["--upgrade"]
    subprocess.run(command, cwd=ROOT, check=True)
    return room.path.read_text()


def without(text: str, names: tuple[str, ...]) -> str:
    """A lock file's text less the blocks of some packages."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)
    return "".join(block for block in blocks if block.partition("==")[0] not in names)


def header(room: Room) -> str:
    return (
        f"# Python {room.python}; extras {', '.join(room.extras)}. Made by `make lock`; do not edit.\n"
        f"# pip install --no-deps --require-hashes -r provisioning/lock/{room.name}.txt\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    upgrade = parser.parse_args().upgrade
    for room in ROOMS:
        texts = {platform: resolve(room, platform, upgrade) for platform in room.platforms}
        if len({without(text, BOARDS_ONLY) for text in texts.values()}) != 1:
            print(f"lock: {room.name} resolves differently on {' and '.join(texts)}", file=sys.stderr)
            return 1
        room.path.write_text(header(room) + next(iter(texts.values())))
        packages = sum("==" in line for line in room.path.read_text().splitlines())
        print(f"{room.path.relative_to(ROOT)}: {packages} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
