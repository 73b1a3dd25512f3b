"""Runs other programs: a missing one names its package, a failing one gives its last word."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from models.errors import UserError
from provisioning.common.target import REPOSITORY

PACKAGES = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross", "pip": "python3-pip",
    "arch-test": "arch-test",
    "bmaptool": "bmap-tools", "debugfs": "e2fsprogs", "dpkg-deb": "dpkg", "dtc": "device-tree-compiler",
    "e2fsck": "e2fsprogs", "groupdel": "passwd", "gzip": "gzip", "losetup": "mount", "mcopy": "mtools",
    "mdir": "mtools", "mke2fs": "e2fsprogs", "mmd": "mtools",
    "mkfs.vfat": "dosfstools", "mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static",
    "resize2fs": "e2fsprogs", "sfdisk": "fdisk", "systemctl": "systemd", "systemd-sysusers": "systemd", "tar": "tar",
    "userdel": "passwd", "xz": "xz-utils", "zstd": "zstd",
}  # fmt: skip
"""Which Debian packages a program needs."""
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def run(*command: str | Path, environment: Mapping[str, str] | None = None, input: str | None = None) -> str:
    """Run a program to its end; what it printed. UserError with its last line where it fails or is missing."""
    words = [str(word) for word in command]
    variables = {**os.environ, "PATH": PATH, "LC_ALL": "C", **(environment or {})}
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=variables, input=input)
    except FileNotFoundError:
        raise UserError(f"{words[0]} is missing; install the package {PACKAGES.get(words[0], words[0])}") from None
    if done.returncode:
        raise UserError(f"{words[0]} failed: {error_summary(done.stderr or done.stdout)}")
    return done.stdout


def require(programs: Sequence[str]) -> None:
    """Install the packages of the programs that are missing, or raise UserError with the command that does.

    "pip" is the module that this Python runs.
    """
    missing = sorted({package for name in programs if not _there(name) for package in PACKAGES[name].split()})
    if not missing:
        return
    script = REPOSITORY / "provisioning" / "system-packages.sh"
    if subprocess.run([script, *missing], stdout=sys.stderr).returncode:
        raise UserError(f"missing packages: {' '.join(missing)}; the command above installs them")


def _there(name: str) -> bool:
    return find_spec("pip") is not None if name == "pip" else shutil.which(name, path=PATH) is not None


def error_summary(text: str) -> str:
    """What a program's words come down to: the first line marked as an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E: ", "error:", "ERROR", "fatal:", "dpkg: error"))]
    return (errors or lines[-1:] or ["it said nothing"])[0]
