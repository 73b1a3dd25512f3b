"""On a machine with nothing installed, what the builder runs is what it asks for first."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

from provisioning.common import layer, process, release
from provisioning.image import base, build, disk, emulation, mounts, rootfs

ALWAYS_THERE = {"chroot", "cp", "dpkg-deb", "mount", "umount"}
"""Of packages that every Debian has (Essential, or Priority: required)."""


def programs(module: ModuleType) -> set[str]:
    """The programs that a module gives to `process.run` by name."""
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text())
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "process.run")
    firsts = (call.args[0] for call in calls)
    return {first.value for first in firsts if isinstance(first, ast.Constant)} - ALWAYS_THERE


def packages(names: set[str]) -> set[str]:
    return {package for name in names for package in process.PACKAGES[name].split()}


@pytest.mark.parametrize(
    ("modules", "required"),
    [
        ((build, disk, layer, emulation), (*disk.TOOLS, *layer.TOOLS, *release.TOOLS, *rootfs.TOOLS)),
        ((base, layer, mounts, emulation), (*base.TOOLS, *layer.TOOLS, *release.TOOLS)),
    ],
    ids=["debian", "base"],
)
def test_what_a_build_runs_is_installed_first(modules: tuple[ModuleType, ...], required: tuple[str, ...]) -> None:
    run = set().union(*map(programs, modules))
    assert len(run) > 3 and packages(run) <= packages(set(required))


def test_a_base_needs_what_reads_its_fat_and_unpacks_it() -> None:
    assert {"mcopy", "mmd"} <= set(base.TOOLS)
    assert packages(set(base.UNPACKERS.values())) == {"xz-utils", "zstd", "gzip"}


def test_mmdebstrap_is_given_what_it_asks_for_foreign_machines() -> None:
    """Debian has it as a recommendation alone, and the builder installs none of those."""
    assert {"arch-test", "qemu-aarch64-static"} <= set(rootfs.TOOLS)
    assert process.PACKAGES["arch-test"] == "arch-test"
