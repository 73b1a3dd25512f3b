"""Builds the bare Debian root file system with mmdebstrap, once: it is kept in the cache.

Root's rights are needed: the packages' scripts run in the tree, by the kernel's binfmt_misc under qemu-aarch64.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from models import python
from models.errors import UserError
from provisioning.common import process
from provisioning.common.target import REPOSITORY
from provisioning.image import emulation, recipe, trim
from provisioning.image.recipe import Recipe

TOOLS = ("mmdebstrap", "arch-test", "qemu-aarch64-static", "tar", "zstd")


def cache_directory() -> Path:
    """Where what took long is kept: $DICTATE_CACHE, or .cache/provisioning in the repository."""
    return Path(os.environ.get("DICTATE_CACHE") or REPOSITORY / ".cache" / "provisioning")


def archive(say: Callable[[str], None], cache: Path | None = None, fresh: bool = False) -> Path:
    """The bare root file system as a .tar.zst; built if the cache lacks it, or if `fresh` asks for today's packages.

    `say` is told what happens. Nothing unfinished stays in the cache. Raises UserError.
    """
    cache = cache or cache_directory()
    contents = Recipe.read()
    sources = recipe.sources(contents)
    kept = cache / f"rootfs-{key(contents, sources)}.tar.zst"
    if kept.exists() and not fresh:
        return kept
    if os.geteuid():
        raise UserError("building a root file system needs root's rights (chroot, mknod); run it with sudo")
    process.require(TOOLS)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".rootfs-", dir=cache) as scratch, emulation.arm64():
        made = Path(scratch, "root.tar.zst")
        for name, text in files(contents).items():
            path = Path(scratch, "files", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _mmdebstrap(command(contents, sources, Path(scratch), made), contents.epoch, Path(scratch), say)
        made.replace(kept)
    return kept


def key(contents: Recipe, sources: list[str]) -> str:
    """What a cached root file system is filed under: a hash of the recipe, mmdebstrap's command line and its hook."""
    scratch = Path("scratch")
    told = [repr(contents), Path(trim.__file__).read_text(), *command(contents, sources, scratch, scratch)]
    text = "\n".join(told).replace(_finish(), "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files(contents: Recipe) -> dict[str, str]:
    """What is in the tree before any package is: path and text."""
    pins = (f"Package: {name}\nPin: release *\nPin-Priority: -1\n\n" for name in contents.unwanted)
    return {
        **contents.files,
        "etc/initramfs-tools/modules": "".join(f"{name}\n" for name in contents.initrd),
        "etc/apt/preferences.d/dictate": "".join(pins),
    }


def command(contents: Recipe, sources: list[str], scratch: Path, output: Path) -> list[str]:
    """mmdebstrap's command line; `scratch`/files is laid under the tree first."""
    options = [
        "--mode=root", "--variant=essential", "--architectures=arm64",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", f"--components={' '.join(contents.components)}",
        f"--include={','.join(contents.packages)}",
        '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-confold", "--dpkgopt=force-confdef",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in contents.path_exclude),
        *(f"--dpkgopt=path-include={pattern}" for pattern in contents.path_include),
        f"--setup-hook=mkdir -p \"$1/boot/firmware\" && cp -r {shlex.quote(str(scratch / 'files'))}/. \"$1\"",
        f'--customize-hook={_finish()} "$1"',
    ]  # fmt: skip
    return ["mmdebstrap", *options, contents.suite, str(output), *sources]


def _finish() -> str:
    """The hook that finishes the tree, in the shell's words; the tree's path follows."""
    start = python.module("provisioning.image.trim", root=True)
    return shlex.join(["exec", "env", f"PYTHONPATH={REPOSITORY}", *start])


def _mmdebstrap(words: list[str], epoch: int, scratch: Path, say: Callable[[str], None]) -> None:
    variables = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(scratch)}
    said: list[str] = []
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace",
                          env=variables) as program:  # fmt: skip
        assert program.stdout and program.stderr
        drain = threading.Thread(target=program.stdout.read, daemon=True)
        drain.start()
        for line in program.stderr:
            said.append(line.rstrip())
            if line.startswith("I: ") and len(line) < 100:
                say(line[3:].strip().rstrip("."))
    if program.returncode:
        text = "\n".join(said)
        if "Could not resolve" in text or "Could not connect" in text or "Failed to fetch" in text:
            raise UserError("Debian's packages cannot be fetched: no network, or none to apt's sources; try again")
        if "No space left" in text:
            raise UserError(f"no space left below {scratch.parent}; free 2 GB, or set DICTATE_CACHE")
        log = scratch.parent / "rootfs.log"
        log.write_text(text + "\n")
        raise UserError(f"mmdebstrap failed: {process.error_summary(text)}; all that it said is in {log}")
