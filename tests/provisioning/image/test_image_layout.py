"""Where partitions lie, which modules stay, what a tree's hash sees, where apt's sources are: pure functions."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UserError
from provisioning.common import release, tree
from provisioning.common.target import PYTHONS, Target
from provisioning.image import layout, recipe, rootfs
from provisioning.image.layout import ALIGNMENT, MIB, SECTOR, Layout, Names
from provisioning.image.recipe import Recipe
from provisioning.image.trim import kept_modules, module_name

sizes = st.integers(1, 64 << 30)


@given(sizes, sizes, sizes)
def test_partitions_are_large_enough_aligned_and_apart(root: int, firmware: int, data: int) -> None:
    made = Layout.of(root, firmware, data)
    for partition, asked in zip(made.partitions, (firmware, root, data), strict=True):
        assert asked <= partition.size < asked + ALIGNMENT
        assert partition.start % ALIGNMENT == 0
    assert made.firmware.start >= SECTOR  # the MBR itself
    assert all(before.end <= after.start for before, after in pairwise(made.partitions))
    assert made.size == made.data.end


def test_what_an_mbr_cannot_describe_is_refused() -> None:
    with pytest.raises(UserError, match="2 TiB"):
        Layout.of(1 << 41)


def test_identifiers_follow_the_content() -> None:
    one, other = Names("0123456789abcdef" * 4), Names("fedcba9876543210" * 4)
    assert (one.disk, one.volume) == ("01234567", "89abcdef")
    assert one.uuid("root") == one.uuid("root")
    assert len({one.uuid("root"), one.uuid("data"), other.uuid("root")}) == 3


@given(st.integers(0, 4 << 30), st.integers(0, 200_000))
def test_an_ext4_has_room_for_content_inodes_and_journal(content: int, entries: int) -> None:
    assert layout.ext4_size(content, entries) >= content + entries * layout.INODE + 4 * MIB


graphs = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.just([f"kernel/m{index}.ko" for index in range(count)]),
        st.lists(st.sets(st.integers(0, count - 1)), min_size=count, max_size=count),
        st.sets(st.integers(0, count - 1)),
    )
)


@given(graphs)
def test_kept_modules_need_nothing_that_is_gone(graph: tuple[list[str], list[set[int]], set[int]]) -> None:
    paths, edges, wanted = graph
    dependencies = {path: [paths[index] for index in edges[number]] for number, path in enumerate(paths)}
    kept = kept_modules([module_name(paths[index]) for index in wanted], dependencies)
    assert {paths[index] for index in wanted} <= kept
    assert all(need in kept for path in kept for need in dependencies[path])
    reachable, queue = set(), [paths[index] for index in wanted]
    while queue:
        path = queue.pop()
        if path not in reachable:
            reachable.add(path)
            queue += dependencies[path]
    assert kept == reachable


def test_modules_are_named_as_the_kernel_or_as_files_do() -> None:
    dependencies: dict[str, list[str]] = {"kernel/usb/xhci-pci.ko": [], "kernel/net/a_b.ko": [], "kernel/net/c.ko": []}
    assert kept_modules(["xhci_pci", "a-b"], dependencies) == {"kernel/usb/xhci-pci.ko", "kernel/net/a_b.ko"}
    assert kept_modules(["kernel/net/*"], dependencies) == {"kernel/net/a_b.ko", "kernel/net/c.ko"}
    assert kept_modules(["inside"], dependencies, ["kernel/fs/inside.ko"]) == set()
    assert kept_modules(["c"], dependencies, soft={"c": ["a_b"]}) == {"kernel/net/c.ko", "kernel/net/a_b.ko"}
    with pytest.raises(UserError, match="no module xhci-pcj"):
        kept_modules(["xhci-pcj"], dependencies)


def grown(root: Path) -> Path:
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("#!/bin/sh\n")
    (root / "usr/bin/tool").chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    return root


def test_equal_trees_have_equal_hashes_whenever_they_were_made(tmp_path: Path) -> None:
    one, other = grown(tmp_path / "one"), grown(tmp_path / "other")
    os.utime(other / "usr/bin/tool", (1, 1))
    assert tree.digest(one) == tree.digest(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "usr/bin/tool").write_text("#!/bin/bash\n"),
        lambda root: (root / "usr/bin/tool").chmod(0o700),
        lambda root: (root / "usr/bin/tool").rename(root / "usr/bin/tol"),
        lambda root: (root / "etc").mkdir(),
        lambda root: ((root / "bin").unlink(), (root / "bin").symlink_to("usr/sbin")),
        lambda root: os.mkfifo(root / "pipe"),
    ],
)
def test_a_hash_sees_every_difference(tmp_path: Path, change: object) -> None:
    root = grown(tmp_path / "root")
    before = tree.digest(root)
    change(root)  # type: ignore[operator]
    assert tree.digest(root) != before


def test_the_command_prints_the_hash_of_a_tree(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "provisioning.common.tree", grown(tmp_path / "root")]
    printed = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == tree.digest(tmp_path / "root")


def test_laying_over_follows_links_to_folders_and_replaces_files(tmp_path: Path) -> None:
    root, source = grown(tmp_path / "root"), tmp_path / "source"
    (source / "bin").mkdir(parents=True)
    (source / "bin/tool").write_text("new")
    (source / "etc").mkdir()
    (source / "etc/link").symlink_to("/dev/null")
    assert set(tree.lay_over(source, root)) == {Path("bin/tool"), Path("etc/link")}
    assert (root / "bin").is_symlink() and (root / "usr/bin/tool").read_text() == "new"
    assert (root / "usr/bin/tool").stat().st_mode & 0o777 == 0o644
    assert (root / "etc/link").readlink() == Path("/dev/null")
    once = tree.digest(root)
    tree.lay_over(source, root)
    assert tree.digest(root) == once


def test_times_are_only_ever_set_back(tmp_path: Path) -> None:
    root = grown(tmp_path / "root")
    os.utime(root / "usr/bin/tool", (1, 1))
    tree.clamp_times(root, 1000)
    assert (root / "usr/bin/tool").stat().st_mtime == 1
    assert (root / "bin").lstat().st_mtime == 1000


DEB822 = """# a comment
Types: deb deb-src
URIs: http://mirror.invalid/debian
Suites: trixie trixie-updates trixie-backports
Components: main

Enabled: no
Types: deb
URIs: http://off.invalid/debian
Suites: trixie

Types: deb
URIs: http://mirror.invalid/security
Suites: trixie-security
Components: main
"""


def apt(folder: Path, codename: str = "trixie") -> tuple[Path, Path]:
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "os-release").write_text(f'ID=debian\nVERSION_CODENAME="{codename}"\n')
    return folder, folder / "os-release"


def test_sources_come_from_this_machine_for_the_recipes_suite(tmp_path: Path) -> None:
    where = apt(tmp_path)
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    assert recipe.sources(Recipe.read(), *where) == [
        "deb http://mirror.invalid/debian bookworm main non-free-firmware",
        "deb http://mirror.invalid/security bookworm-security main non-free-firmware",
        "deb http://mirror.invalid/debian bookworm-updates main non-free-firmware",
    ]


def test_sources_in_the_old_format_are_read_too(tmp_path: Path) -> None:
    where = apt(tmp_path, "bookworm")
    (tmp_path / "sources.list").write_text(
        "deb [arch=amd64 signed-by=/usr/share/k.gpg] http://mirror.invalid/debian bookworm main # c\n"
        "deb-src http://mirror.invalid/debian bookworm main\n# deb http://off.invalid/debian bookworm main\n"
    )
    assert recipe.sources(Recipe.read(), *where) == ["deb http://mirror.invalid/debian bookworm main non-free-firmware"]


THIRD_PARTY = """Types: deb
URIs: http://third.invalid/debian
Suites: trixie
Components: {components}
{more}
"""


@pytest.mark.parametrize("name", ["a.sources", "zzz.sources"])
@pytest.mark.parametrize(
    ("components", "more", "origin"),
    [
        ("stable", "", ""),
        ("main", "Signed-By: /usr/share/keyrings/third.gpg", ""),
        ("main", "", "Third Party"),
        ("main contrib", "Signed-By: /etc/apt/keyrings/third.asc", "Raspberry Pi Foundation"),
    ],
)
def test_another_archive_with_a_suite_of_that_name_does_not_replace_debians(
    tmp_path: Path, name: str, components: str, more: str, origin: str
) -> None:
    where, lists = apt(tmp_path), tmp_path / "lists"
    lists.mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    before = recipe.sources(Recipe.read(), *where, lists)
    (tmp_path / "sources.list.d" / name).write_text(THIRD_PARTY.format(components=components, more=more))
    if origin:
        (lists / "third.invalid_debian_dists_trixie_InRelease").write_text(f"Origin: {origin}\nSuite: stable\n")
        (lists / "mirror.invalid_debian_dists_trixie_InRelease").write_text("Hash: SHA512\n\nOrigin: Debian\n")
    assert recipe.sources(Recipe.read(), *where, lists) == before


def test_a_machine_without_debians_archive_is_told(tmp_path: Path) -> None:
    where = apt(tmp_path, "jammy")
    (tmp_path / "sources.list.d/other.list").write_text("deb http://other.invalid/x stable main\n")
    with pytest.raises(UserError, match="no source of Debian jammy"):
        recipe.sources(Recipe.read(), *where)


def test_the_cache_is_keyed_on_what_decides_the_content() -> None:
    contents, sources = Recipe.read(), ["deb http://mirror.invalid/debian bookworm main"]
    key = rootfs.key(contents, sources)
    assert rootfs.key(contents, sources) == key
    assert rootfs.key(contents, [*sources, "deb http://other.invalid/debian bookworm main"]) != key
    assert rootfs.key(replace(contents, initrd=("ext4",)), sources) != key
    assert rootfs.key(replace(contents, files={}), sources) != key


@pytest.mark.parametrize("python", PYTHONS)
def test_a_release_takes_the_locks_packages_but_the_build_machines(python: str) -> None:
    wanted = release.requirements(Target(python).lock.read_text())
    assert "\nnumpy==" in wanted and "ai-edge-litert==" in wanted
    assert "pyaudio==" not in wanted and "sympy==" not in wanted
    packages = [line for line in wanted.splitlines() if line[:1].isalpha()]
    assert all(line.endswith("\\") for line in packages), "each is followed by its hashes"


def test_a_python_without_a_lock_is_refused() -> None:
    with pytest.raises(UserError, match="cp399"):
        Target("cp399")
