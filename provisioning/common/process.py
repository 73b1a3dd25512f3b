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
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross", "arch-test": "arch-test",
    "bmaptool": "bmap-tools", "cc": "gcc libc6-dev", "debugfs": "e2fsprogs", "dpkg-deb": "dpkg",
    "dtc": "device-tree-compiler", "e2fsck": "e2fsprogs", "fdtget": "device-tree-compiler",
    "fdtput": "device-tree-compiler", "groupdel": "passwd", "gzip": "gzip", "losetup": "mount", "lsblk": "util-linux",
    "mcopy": "mtools", "mdir": "mtools", "mke2fs": "e2fsprogs", "mkfs.vfat": "dosfstools", "mmd": "mtools",
    "mmdebstrap": "mmdebstrap", "pip": "python3-pip", "qemu-aarch64-static": "qemu-user-static",
    "qemu-img": "qemu-utils", "qemu-system-aarch64": "qemu-system-arm", "resize2fs": "e2fsprogs", "sfdisk": "fdisk",
    "systemctl": "systemd", "systemd-sysusers": "systemd", "tar": "tar", "userdel": "passwd", "xz": "xz-utils",
    "zstd": "zstd",
}  # fmt: skip
"""Which Debian packages a program needs."""
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def attempt(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    input: str | bytes | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, well or not; what it printed, and its status. UserError where it is missing.

    It has PATH with the folders of root's programs and English messages, and no input but `input`. Raises
    subprocess.TimeoutExpired after `timeout_s`.
    """
    words = [str(word) for word in command]
    variables = {**os.environ, "PATH": PATH, "LC_ALL": "C", **(environment or {})}
    given = input.encode() if isinstance(input, str) else input or b""
    try:
        done = subprocess.run(words, capture_output=True, env=variables, input=given, timeout=timeout_s)
    except FileNotFoundError:
        raise UserError(f"{words[0]} is missing; install the package {PACKAGES.get(words[0], words[0])}") from None
    out, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(words, done.returncode, out, errors)


def run(*command: str | Path, environment: Mapping[str, str] | None = None, input: str | bytes | None = None) -> str:
    """The same for a program that must do its work; what it printed. UserError with its last word where it fails."""
    done = attempt(*command, environment=environment, input=input)
    if done.returncode:
        raise UserError(f"{command[0]} failed: {error_summary(done.stderr or done.stdout)}")
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
