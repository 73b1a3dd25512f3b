"""Has the kernel run arm64 programs on another machine, by binfmt_misc and qemu-aarch64."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import UserError
from provisioning.common import process

BINFMT = Path("/proc/sys/fs/binfmt_misc")
ELF = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
INTERPRETER = "/usr/bin/qemu-aarch64-static"
SYSTEM = "qemu-aarch64"
"""The entry that Debian's packages make where systemd runs."""


@contextmanager
def arm64(binfmt: Path = BINFMT) -> Iterator[None]:
    """Have the kernel run arm64 programs, in chroots too, for as long as the block lasts. Raises UserError.

    A machine that does so anyway is left as it is. Elsewhere the block makes an entry that no other build shares, so
    builds at the same time do not take it from each other, and removes it.
    """
    if platform.machine() == "aarch64" or permanent(binfmt):
        yield
        return
    if not (binfmt / "register").exists():
        process.run("mount", "-t", "binfmt_misc", "binfmt_misc", binfmt)
    name = f"dictate-aarch64-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        # F: the interpreter is opened now, so that a chroot needs none. O: it is handed the program opened.
        (binfmt / "register").write_text(f":{name}:M::{ELF}:{MASK}:{INTERPRETER}:OF")
    except OSError as error:
        raise UserError(f"the kernel takes no emulator for arm64 ({error.strerror}); is this a container?") from None
    try:
        yield
    finally:
        (binfmt / name).write_text("-1")


def permanent(binfmt: Path = BINFMT) -> bool:
    """Whether this machine has an entry of its own that serves chroots: enabled, its interpreter open (flag F).

    Entries of other builds do not count: they go when those end.
    """
    try:
        lines = (binfmt / SYSTEM).read_text().splitlines()
    except OSError:
        return False
    return "enabled" in lines and any(line.startswith("flags:") and "F" in line for line in lines)
