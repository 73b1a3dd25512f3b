"""Resolve pyproject.toml into provisioning/lock, each version with the hashes of its files: `make lock`.

One universal resolution covers Python 3.11 to 3.13 on x86-64 and aarch64 Linux: dev.txt, where markers tell apart what
differs. The other files are cut from it, so that what the tests ran against is what is installed. The image builder
runs on any Python and takes wheels of another, for which pip would read the markers wrongly: device-py3XX.txt hold the
device's part of dev.txt for one Python, without markers.

uv.lock is not used because it records the address of the registry that it was made with; these files name none.

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
"""Packages that are locked though x86-64 has no use for them; provisioning/common/release.py leaves them out there."""
EVERYWHERE = (
    "python_full_version < '3.14' and ((platform_machine == 'aarch64' and sys_platform == 'linux')"
    " or (platform_machine == 'x86_64' and sys_platform == 'linux'))"
)
"""The marker that uv writes for `tool.uv.environments`: all machines that there are locks for."""


@dataclass(frozen=True)
class LockedEnvironment:
    """One lock file: the extras that it installs, and the one Python that it is for, if any."""

    name: str
    extras: tuple[str, ...]
    python: str | None = None
    """None for a universal file, with markers; else a file without markers, the same on x86-64 and aarch64."""
    builds: bool = False
    """Whether it also installs the dependency group `build`, with which the project is built on this machine."""
    follow: bool = True
    """Whether versions follow dev.txt: all do but dev.txt itself."""

    @property
    def path(self) -> Path:
        return LOCK / f"{self.name}.txt"

    @property
    def platforms(self) -> tuple[str | None, ...]:
        return (ARM, X86) if self.python else (None,)


ENVIRONMENTS = (
    LockedEnvironment("dev", ("device", "eval", "wyoming", "browser", "convert", "dev"), builds=True, follow=False),
    LockedEnvironment("run", ("device", "eval"), builds=True),
    LockedEnvironment("convert", ("device", "eval", "convert"), builds=True),
    LockedEnvironment("train", ("convert", "train")),
    LockedEnvironment("device-py311", ("device", "eval", "wyoming"), python="3.11"),
    LockedEnvironment("device-py313", ("device", "eval", "wyoming"), python="3.13"),
)


def resolve(environment: LockedEnvironment, platform: str | None, upgrade: bool) -> str:
    """The lock file's text, of one platform if it is for one. uv keeps the versions that the present file names."""
    command = python.module("uv", "pip", "compile", "--quiet", "pyproject.toml")
    command += ["--output-file", str(environment.path)]
    command += [argument for extra in environment.extras for argument in ("--extra", extra)]
    command += ["--group", "build"] if environment.builds else []
    if environment.python and platform:
        command += ["--python-version", environment.python, "--python-platform", platform]
    else:
        command += ["--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"]
    if environment.follow:
        command += ["--constraint", str(LOCK / "dev.txt")]
    if upgrade:
        command += ["--upgrade"]
    subprocess.run(command, cwd=ROOT, check=True)
    return environment.path.read_text()


def plain(text: str) -> str:
    """A universal lock's text without what every marker says: Linux, x86-64 or aarch64, Python before 3.14.

    >>> plain(f"numpy==1 ; {EVERYWHERE} " + "\\\\\\n")
    'numpy==1 \\\\\\n'
    >>> plain("numpy==1 ; python_full_version < '3.12' and " + EVERYWHERE.partition(" and ")[2] + " \\\\\\n")
    "numpy==1 ; python_full_version < '3.12' \\\\\\n"
    """
    text = text.replace(f" ; {EVERYWHERE}", "")
    return text.replace(" and " + EVERYWHERE.partition(" and ")[2], "").replace(" and sys_platform == 'linux'", "")


def without(text: str, names: tuple[str, ...]) -> str:
    """A lock file's text less the blocks of some packages."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)
    return "".join(block for block in blocks if block.partition("==")[0] not in names)


def header(environment: LockedEnvironment) -> str:
    python = f"Python {environment.python}" if environment.python else "Python 3.11 to 3.13"
    return (
        f"# {python} on x86-64 and aarch64; extras {', '.join(environment.extras)}. Made by `make lock`; do not edit.\n"
        f"# pip install --no-deps --require-hashes -r provisioning/lock/{environment.name}.txt\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    upgrade = parser.parse_args().upgrade
    for environment in ENVIRONMENTS:
        texts = {platform: resolve(environment, platform, upgrade) for platform in environment.platforms}
        if len({without(text, BOARDS_ONLY) for text in texts.values()}) != 1:
            print(f"lock: {environment.name} resolves differently on {' and '.join(map(str, texts))}", file=sys.stderr)
            return 1
        text = next(iter(texts.values()))
        environment.path.write_text(header(environment) + (text if environment.python else plain(text)))
        packages = sum("==" in line for line in environment.path.read_text().splitlines())
        print(f"{environment.path.relative_to(ROOT)}: {packages} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
