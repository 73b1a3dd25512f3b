"""Finishes a root file system from inside mmdebstrap: drops what no supported board uses, fills /boot/firmware.

mmdebstrap runs it as a hook, with /proc, /sys and /dev in the tree: see `command` in provisioning/image/rootfs.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from models import python
from models.errors import UserError
from provisioning.image.recipe import Recipe


def module_name(path: str) -> str:
    """A module's name, as the kernel spells it, from its file's path.

    >>> module_name("kernel/drivers/usb/host/xhci-pci.ko")
    'xhci_pci'
    """
    return re.sub(r"\.ko(\.\w+)?$", "", path.rpartition("/")[2]).replace("-", "_")


def kept_modules(
    wanted: Iterable[str],
    dependencies: Mapping[str, Collection[str]],
    built_in: Collection[str] = (),
    soft: Mapping[str, Collection[str]] | None = None,
) -> set[str]:
    """The paths of `wanted` modules and of all that they need.

    `wanted` are names or paths, both with *; `dependencies` is modules.dep, path to paths; `built_in` are the paths
    of modules that are in the kernel itself; `soft` is modules.softdep, name to names. Raises UserError for a module
    that the kernel does not have.

    >>> sorted(kept_modules(["b"], {"k/a.ko": [], "k/b.ko": ["k/a.ko"], "k/c.ko": []}))
    ['k/a.ko', 'k/b.ko']
    """
    by_name = {module_name(path): path for path in dependencies}
    inside = {module_name(path) for path in built_in}
    kept: set[str] = set()
    queue: list[str] = []
    for want in wanted:
        name = want.replace("-", "_")
        found = [path for path in dependencies if fnmatchcase(path, want) or fnmatchcase(module_name(path), name)]
        if not found and not any(fnmatchcase(known, name) for known in inside):
            raise UserError(f"the kernel has no module {want}; correct rootfs.toml")
        queue += found
    while queue:
        path = queue.pop()
        if path not in kept:
            kept.add(path)
            queue += dependencies[path]
            queue += [by_name[name] for name in (soft or {}).get(module_name(path), ()) if name in by_name]
    return kept


def trim_modules(modules: Path, wanted: Iterable[str]) -> None:
    """Delete all modules below `modules` (/lib/modules/VERSION) but the wanted ones."""
    dependencies = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        dependencies[path] = needs.split()
    soft = {}
    for line in (modules / "modules.softdep").read_text().splitlines():
        words = line.split()
        if words[:1] == ["softdep"]:
            soft[words[1]] = [word.replace("-", "_") for word in words[2:] if not word.endswith(":")]
    kept = kept_modules(wanted, dependencies, (modules / "modules.builtin").read_text().split(), soft)
    for path in dependencies.keys() - kept:
        (modules / path).unlink()
    for folder, _, _ in os.walk(modules / "kernel", topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()


def fill_firmware(root: Path, firmware: Mapping[str, str]) -> None:
    """Copy what the board's firmware reads to /boot/firmware; each pattern must find something."""
    for pattern, name in firmware.items():
        found = sorted(root.glob(pattern))
        if not found:
            raise UserError(f"the root file system has no {pattern}; correct rootfs.toml")
        shutil.copyfile(found[-1], root / "boot/firmware" / (name or found[-1].name))


def remove(root: Path, patterns: Iterable[str]) -> None:
    """Delete what matches, links themselves and folders with all that is in them."""
    for pattern in patterns:
        for path in list(root.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def main(root: Path) -> None:
    """All of it, on the tree `root`, whose packages are installed."""
    recipe = Recipe.read()
    chroot = ["chroot", str(root)]
    modules = next((root / "usr/lib/modules").iterdir())
    trim_modules(modules, [name for names in recipe.modules.values() for name in names])
    subprocess.run([*chroot, "depmod", modules.name], check=True)
    (root / "etc/initramfs-tools/update-initramfs.conf").write_text("update_initramfs=yes\n")
    subprocess.run([*chroot, "update-initramfs", "-c", "-k", modules.name], check=True)
    shutil.rmtree(root / "boot/firmware", ignore_errors=True)
    (root / "boot/firmware").mkdir(parents=True)
    fill_firmware(root, recipe.firmware)
    remove(root, recipe.remove)
    (root / "etc/machine-id").write_text("")
    _compile(root)


def _compile(root: Path) -> None:
    """Byte-compile Python's own library unchecked: its files get other time stamps than those that dpkg noted."""
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash"]
    folders = [path for path in (root / "usr/lib").glob("python3*") if path.is_dir()]
    if (root / f"usr/lib/python{sys.version_info.major}.{sys.version_info.minor}").is_dir():
        command = python.module("compileall", *options, "-s", str(root), "-p", "/", *map(str, folders))
    else:
        inside = (f"/usr/lib/{folder.name}" for folder in folders)
        command = ["chroot", str(root), *python.module("compileall", *options, *inside, interpreter="/usr/bin/python3")]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (UserError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"E: {error}")
