"""Cuts during a first start, where the superblock is written in place: replayed from records of real starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from first_start import FirstStart

from provisioning.emulator import card
from provisioning.emulator.power_loss import Cut
from provisioning.emulator.recovery import repair
from provisioning.image import disk

SEED = 20261128
SPREAD = 40
"""One in so many of the other cuts is tried here; `tests/system/virtual_pi` tries all, in the record of its own
first start.
"""


def features(partition: Path) -> set[str]:
    """What dumpe2fs says that an ext4 has."""
    words = ["/sbin/dumpe2fs", "-h", str(partition)]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    line = next(line for line in shown.splitlines() if line.startswith("Filesystem features:"))
    return set(line.partition(":")[2].split())


def tears_the_superblock(start: FirstStart, cut: Cut) -> bool:
    """Whether one of its two sectors is kept without the other."""
    return any(
        survivor.sectors is not None
        and start.entries[survivor.entry].offset == start.superblock
        and len({2, 3} & set(survivor.sectors)) == 1
        for survivor in cut.survivors
    )


def test_no_cut_of_the_first_start_needs_more_than_the_journal(tmp_path: Path) -> None:
    start = FirstStart.read("first-start", tmp_path)
    possible = start.replay.outcomes(0, len(start.entries), tmp_path, SEED)
    tried = [cut for n, cut in enumerate(possible) if n % SPREAD == 0 or tears_the_superblock(start, cut)]
    assert sum(tears_the_superblock(start, cut) for cut in tried) >= 10 and len(tried) >= 100
    for cut, partition in start.replay.partitions(tried, tmp_path):
        repaired = repair(partition)
        assert repaired.clean, f"{cut}: {repaired}"


@pytest.mark.parametrize("at", [4, 25], ids=["mount", "growth"])
def test_a_checksum_over_the_superblock_is_what_makes_a_torn_one_fatal(tmp_path: Path, at: int) -> None:
    """The same start with metadata_csum, as images had it until 2026-11-28: the check finds the cuts that lost them."""
    start = FirstStart.read("checksummed-superblock", tmp_path)
    torn = [cut for cut in start.replay.outcomes(at, at, tmp_path, SEED) if tears_the_superblock(start, cut)]
    assert torn
    for cut, partition in start.replay.partitions(torn, tmp_path):
        assert repair(partition).status == 8, cut


DEBIAN_13 = """[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
[fs_types]
ext4 = {
features = has_journal,extent,huge_file,flex_bg,metadata_csum,metadata_csum_seed,64bit,dir_nlink,extra_isize,orphan_file
}
"""
"""The features in its mke2fs.conf; Debian 12's has neither metadata_csum_seed nor orphan_file."""


@pytest.mark.parametrize("conf", ["", DEBIAN_13], ids=["this machine", "Debian 13"])
def test_the_record_is_of_the_file_system_that_images_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conf: str
) -> None:
    if conf:
        (tmp_path / "mke2fs.conf").write_text(conf)
        monkeypatch.setenv("MKE2FS_CONFIG", str(tmp_path / "mke2fs.conf"))
    start = FirstStart.read("first-start", tmp_path)
    (tmp_path / "root/boot/firmware").mkdir(parents=True)
    made = tmp_path / "made.img"
    layout = disk.write_image(tmp_path / "root", made, "0" * 64, 1_700_000_000, 80 << 20)
    today, recorded = tmp_path / "today.ext4", tmp_path / "recorded.ext4"
    card.copy_partition(card.Card.of(made), card.Card.of(made).data, today)
    card.copy_partition(start.image, start.image.data, recorded)
    assert layout.data.size == start.image.data.size
    assert features(today) == features(recorded)
    assert "metadata_csum" not in features(today)
