"""Set up .venv for one purpose, from the packages of Debian and of provisioning/lock that it needs: what `make` runs.

    python provisioning/environment.py run       # dictate and the demo
    python provisioning/environment.py convert   # the same, and the conversion of models
    python provisioning/environment.py dev       # the same, and the tests

Each step is recorded in .venv/setup.json once it is done, by the hash of what it was done from, so that a second call
returns at once and an interrupted one goes on. uv installs the packages if it is on PATH, else pip does. The variable
SYSTEM_PACKAGES replaces the list of Debian packages; empty, it leaves the system alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models import files, python  # noqa: E402

LOCKS = ROOT / "provisioning" / "lock"
SYSTEM = ROOT / "provisioning" / "system-packages.sh"
VENV = ROOT / ".venv"
ENVIRONMENTS = {"run": ("run",), "convert": ("run", "convert"), "dev": ("run", "convert", "dev")}
"""Purpose, and the lock files that its own contains."""
PACKAGES = {"run": ("run",), "convert": ("run",), "dev": ("run", "test"), "image": ("run", "test", "image")}
"""Purpose, and the lists of provisioning/packages.toml that it needs."""
BUILD = ("setuptools", "wheel")
SUPPORTED = "64-bit Debian 12 or 13, Ubuntu 24.04 or Raspberry Pi OS (a container or virtual machine will do)"


class SetupError(Exception):
    """What is wrong and what to do about it."""


def unsupported(system: str, machine: str, bits: int, libc: str) -> str | None:
    """Why there are no packages for this kind of machine; None where there are.

    >>> unsupported("Linux", "x86_64", 64, "glibc")
    >>> unsupported("Darwin", "arm64", 64, "").partition(";")[0]
    'macOS is not supported'
    """
    if system != "Linux":
        return f"{'macOS' if system == 'Darwin' else system} is not supported; use {SUPPORTED}"
    if machine not in ("x86_64", "aarch64") or bits != 64:
        return f"a {bits}-bit Python on {machine} is not supported; use {SUPPORTED}"
    if libc != "glibc":
        return f"a Linux without glibc is not supported, for want of wheels; use {SUPPORTED}"
    return None


def debian_packages(lists: Iterable[str]) -> list[str]:
    """The packages of some lists of packages.toml, less what this Python brings or has already.

    Debian's Python has its `venv` and headers in packages of its own version; another one must bring them itself.
    """
    table = tomllib.loads((ROOT / "provisioning" / "packages.toml").read_text())
    names = dict.fromkeys(name for part in lists for name in table[part])
    present = {
        "python3-venv": find_spec("ensurepip") is not None,
        "python3-dev": Path(sysconfig.get_path("include"), "Python.h").exists(),
    }
    # The nodejs of other vendors brings npm, and cannot be installed beside Debian's.
    names = {name: None for name in names if name != "npm" or shutil.which("npm") is None}
    version = f"python3.{sys.version_info.minor}"
    for name, there in present.items():
        if name in names and not there and sys.base_prefix != "/usr":
            raise SetupError(f"{python.current()} lacks {'ensurepip' if name.endswith('venv') else 'Python.h'}; "
                             "install it whole, or name another one: make PYTHON=/usr/bin/python3")  # fmt: skip
    return [version + name.removeprefix("python3") if name in present else name
            for name in names if not present.get(name)]  # fmt: skip


def install_system_packages(purpose: str) -> None:
    """Install the Debian packages that are missing; SetupError if they cannot be had, with the reason printed."""
    given = os.environ.get("SYSTEM_PACKAGES")
    names = debian_packages(PACKAGES[purpose]) if given is None else given.split()
    if names and subprocess.run([SYSTEM, *names]).returncode:
        raise SetupError("")


class Environment:
    """A virtual environment and the record of the steps that made it."""

    def __init__(self, folder: Path = VENV) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._record = folder / "setup.json"
        try:
            self._done: dict[str, str] = json.loads(self._record.read_text())
        except (OSError, ValueError):
            self._done = {}

    def has(self, step: str, made_from: str) -> bool:
        return self._done.get(step) == made_from

    def record(self, steps: dict[str, str]) -> None:
        self._done |= steps
        files.write(self._record, json.dumps(self._done, indent=1) + "\n")

    def create(self) -> None:
        """A new environment, unless this one was made by the same Python and still runs."""
        made_by = f"{python.current().resolve()} {platform.python_version()}"
        if self.has("python", made_by) and os.access(self.python, os.X_OK):
            return
        self._done = {}
        run(python.module("venv", "--clear", self.folder), f"{python.current()} could not make {self.folder}")
        self.record({"python": made_by})

    def install_locked(self, locked: str) -> None:
        """What the lock file of `locked` names, hash by hash."""
        hashes = {f"lock {name}": digest([LOCKS / f"{name}.txt"]) for name in ENVIRONMENTS[locked]}
        if self.has(f"lock {locked}", hashes[f"lock {locked}"]):
            return
        lock = LOCKS / f"{locked}.txt"
        uv = shutil.which("uv")
        print(
            f"setup: installing {lock.relative_to(ROOT)} into {self.folder.name} with {'uv' if uv else 'pip'}",
            flush=True,
        )
        with tempfile.TemporaryDirectory() as scratch:
            build = Path(scratch, "build.txt")
            build.write_text(only(lock.read_text(), BUILD))
            # The build tools come first: PyAudio and lgpio are built with them, and they with nothing.
            for wanted in (build, lock):
                failed = (
                    f"{lock.relative_to(ROOT)} could not be installed (reason above); with a network, run make again"
                )
                run([*self._installer(uv), "--require-hashes", "--requirement", wanted], failed)
        self.record(hashes)

    def install_project(self) -> None:
        """The project itself, editable, with its C library compiled."""
        made_from = digest([ROOT / "pyproject.toml", *sorted((ROOT / "device" / "asr" / "csrc").iterdir())])
        if not self.has("project", made_from):
            run([*self._installer(None), "--editable", ROOT], "the project could not be installed (reason above)")
            self.record({"project": made_from})

    def _installer(self, uv: str | None) -> list[str | Path]:
        options: list[str | Path] = ["install", "--quiet", "--no-deps", "--no-build-isolation"]
        if uv:
            return [uv, "pip", *options, "--python", self.python]
        fixed = ("--no-compile", "--no-input")
        return [*python.module("pip", "--disable-pip-version-check", *options, *fixed, interpreter=self.python)]


def set_up(locked: str, folder: Path = VENV) -> None:
    """All steps up to the lock file of `locked`, in one process at a time. Raises SetupError.

    In a checkout that cannot be written to nobody takes turns: its steps are done already, or fail.
    """
    with files.alone(folder, lambda: _waiting(folder)) if os.access(folder.parent, os.W_OK) else nullcontext():
        environment = Environment(folder)
        environment.create()
        environment.install_locked(locked)
        environment.install_project()


def _waiting(folder: Path) -> None:
    print(f"setup: another process is setting up {folder.name}; waiting for it", file=sys.stderr, flush=True)


def only(lock: str, names: Sequence[str]) -> str:
    """The blocks of a lock file for some packages.

    >>> only("a==1 \\\\\\n    --hash=sha256:1\\nb==2 \\\\\\n    --hash=sha256:2\\n", ["b"])
    'b==2 \\\\\\n    --hash=sha256:2\\n'
    """
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)
    return "".join(block for block in blocks if block.partition("==")[0] in names)


def digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def run(command: Sequence[str | Path], failed: str) -> None:
    """Run an installer, whose warnings and errors are shown; SetupError with `failed` if it fails."""
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PYPI": "1"}  # PYPI: lgpio brings its C library
    if subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode:
        raise SetupError(failed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("purpose", choices=PACKAGES)
    purpose = parser.parse_args(arguments).purpose
    bits = 64 if sys.maxsize > 2**32 else 32
    try:
        if refused := unsupported(platform.system(), platform.machine(), bits, platform.libc_ver()[0]):
            raise SetupError(refused)
        install_system_packages(purpose)
        set_up("dev" if purpose == "image" else purpose)
    except SetupError as error:
        if str(error):
            print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
