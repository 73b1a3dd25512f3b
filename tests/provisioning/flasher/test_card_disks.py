"""Which disk may be overwritten: properties over trees as lsblk reports them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.errors import UserError
from provisioning.flasher import disks
from provisioning.flasher.disks import BlockDevice

GB = disks.GIGABYTE
CARD = BlockDevice("sdx", "/dev/sdx", "disk", size=32 * GB, hotplug=True, model="USB Mass Storage", serial="0815")
POINTS = st.sampled_from(["/", "/boot/firmware", "[SWAP]", "/var/lib", "/media/me/CARD", "/mnt", "/run/media/x y"])


def device(name: str, kind: str, children: tuple[BlockDevice, ...] = (), points: tuple[str, ...] = ()) -> BlockDevice:
    return BlockDevice(name, f"/dev/{name}", kind, size=8 * GB, mountpoints=points, children=children)


def trees(depth: int = 3) -> st.SearchStrategy[BlockDevice]:
    """What may lie on a disk: partitions, and on them volumes, encrypted or not, mounted or not."""
    below = trees(depth - 1) if depth else st.nothing()
    return st.builds(
        device,
        st.text("abcdefgh0123456789", min_size=3, max_size=8),
        st.sampled_from(["part", "part", "part", "crypt", "lvm", "raid1"]),
        st.lists(below, max_size=2).map(tuple) if depth else st.just(()),
        st.lists(POINTS, max_size=2).map(tuple),
    )


def report(disk: BlockDevice) -> dict[str, Any]:
    """`disk` as lsblk writes it."""
    return {
        "name": disk.name, "path": disk.path, "type": disk.type, "size": disk.size, "ro": disk.read_only,
        "rm": disk.hotplug, "hotplug": disk.hotplug, "tran": None, "vendor": None, "model": disk.model or None,
        "serial": disk.serial or None, "fstype": disk.filesystem or None, "label": disk.label or None,
        "mountpoints": list(disk.mountpoints) or [None],
        **({"children": [report(child) for child in disk.children]} if disk.children else {}),
    }  # fmt: skip


@given(st.lists(trees(), max_size=3).map(tuple))
def test_what_lsblk_writes_is_read(children: tuple[BlockDevice, ...]) -> None:
    disk = replace(CARD, children=children)
    assert disks.parse(json.dumps({"blockdevices": [report(disk)]})) == [disk]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["blockdevices", "children", "name", "path", "type", "size", "ro", "rm", "mountpoints"]
                ),
                x,
            )
        ),
    )
)
def test_any_other_json_is_refused_in_one_line(value: Any) -> None:
    try:
        found = disks.parse(json.dumps({"blockdevices": value}))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(disk, BlockDevice) for disk in found)


@given(st.lists(trees(), max_size=3).map(tuple))
def test_nothing_in_use_is_ever_taken(children: tuple[BlockDevice, ...]) -> None:
    disk = replace(CARD, children=children)
    points = [point for part in disk.walk() for point in part.mountpoints]
    holders = [part for part in disk.walk() if part.type in ("crypt", "lvm", "raid1")]
    against = disks.refusals(disk, need=GB, largest=64 * GB)
    assert bool(against) == bool(points or holders)
    if {"/", "/boot/firmware", "[SWAP]", "/var/lib"} & set(points):
        assert len(against) == 1 and "running system" in against[0]
    else:
        assert all(any(point in reason for reason in against) for point in points)
    assert not any("\n" in reason for reason in against)


@given(st.integers(0, 2**44), st.integers(0, 2**44), st.integers(1, 2**44))
def test_only_a_size_between_the_image_and_the_limit_does(size: int, need: int, largest: int) -> None:
    against = disks.refusals(replace(CARD, size=size), need, largest)
    assert (not against) == (size > 0 and need <= size <= largest)


@given(trees())
def test_a_part_is_refused_and_its_disk_is_named(part: BlockDevice) -> None:
    disk = replace(CARD, children=(part,))
    for below in part.walk():
        with pytest.raises(UserError, match="name the whole disk: /dev/sdx"):
            disks.find([disk], Path(below.path))
    assert disks.find([disk], Path("/dev/sdx")) is disk


@given(st.text())
def test_what_lsblk_does_not_know_is_refused(name: str) -> None:
    assume(f"/dev/{name}" != CARD.path)
    with pytest.raises(UserError, match="--list"):
        disks.find([CARD], Path(f"/dev/{name}"))


@pytest.mark.parametrize(("change", "word"), [({"read_only": True}, "lock"), ({"type": "rom"}, "rom"),
                                              ({"size": 0}, "no medium"), ({"size": 10 * GB}, "too small"),
                                              ({"size": 500 * GB}, "--largest")])  # fmt: skip
def test_each_reason_says_what_to_do(change: dict[str, Any], word: str) -> None:
    (reason,) = disks.refusals(replace(CARD, **change), need=16 * GB, largest=256 * GB)
    assert word in reason and "/dev/sdx" in reason


def test_everything_that_will_be_erased_is_shown() -> None:
    boot = replace(device("sdx1", "part"), filesystem="vfat", label="HOLIDAYS")
    shown = "\n".join(disks.describe(replace(CARD, children=(boot, device("sdx2", "part")))))
    for word in ("USB Mass Storage", "0815", "32.0 GB", "/dev/sdx1", "vfat", "HOLIDAYS", "/dev/sdx2"):
        assert word in shown
