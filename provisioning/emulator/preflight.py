"""What this machine must have or allow, told by name before anything is begun."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioning.common import process

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "fdtput": "device-tree-compiler",
    "mcopy": "mtools",
    "e2fsck": "e2fsprogs",
    "debugfs": "e2fsprogs",
}
"""Programs that the virtual Pi is run with, and the Debian packages that have them."""
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
BINFMT = Path("/proc/sys/fs/binfmt_misc")


def missing_programs(programs: Sequence[str] = tuple(PACKAGES)) -> list[str]:
    """Which of the programs are not there."""
    return [name for name in programs if shutil.which(name, path=SEARCH) is None]


def install(programs: Sequence[str] = tuple(PACKAGES)) -> str:
    """Have provisioning/system-packages.sh install what is missing; what it says if it may not, else nothing."""
    packages = sorted({PACKAGES[name] for name in missing_programs(programs)})
    if not packages:
        return ""
    script = REPOSITORY / "provisioning" / "system-packages.sh"
    done = process.attempt(script, *packages)
    return done.stderr.strip() or f"packages are missing: {' '.join(packages)}" if done.returncode else ""


def building_refused() -> str:
    """Why this machine does not let an image be built, which only its owner can change; empty if it does."""
    if os.geteuid() != 0:
        return "building an image needs root (files of many owners, chroot); run as root"
    if not (BINFMT / "register").exists():
        done = process.attempt("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
        if done.returncode:
            return f"arm64 programs cannot be run here: binfmt_misc cannot be mounted ({done.stderr.strip()})"
    if not (BINFMT / "qemu-aarch64").exists() and not os.access(BINFMT / "register", os.W_OK):
        return "arm64 programs cannot be run here: binfmt_misc takes no entry, and has none named qemu-aarch64"
    return ""
