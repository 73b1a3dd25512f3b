"""Repairing and reading a partition after a cut, on real ext4 file systems; needs e2fsprogs, not QEMU."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from block_records import record

from provisioning.emulator import blocklog, preflight
from provisioning.emulator.blocklog import Kind
from provisioning.emulator.card import Card
from provisioning.emulator.power_loss import Cut, Fate, Survivor, cut
from provisioning.emulator.recovery import Replay, read_folder, repair

SIZE = 8 << 20
START = 1 << 20


def ext4(tree: Path, file: Path) -> Path:
    mke2fs = shutil.which("mke2fs", path=preflight.SEARCH)
    assert mke2fs is not None
    subprocess.run([mke2fs, "-q", "-F", "-t", "ext4", "-d", tree, file, f"{SIZE >> 10}k"], check=True)
    return file


@pytest.fixture
def partition(tmp_path: Path) -> Path:
    (tmp_path / "tree/dictate/journal").mkdir(parents=True)
    (tmp_path / "tree/dictate/journal/journal-00000001.jsonl").write_text("kept\n")
    return ext4(tmp_path / "tree", tmp_path / "data.ext4")


def test_a_sound_file_system_is_clean_and_read(partition: Path, tmp_path: Path) -> None:
    assert repair(partition).clean
    folder = read_folder(partition, "/dictate/journal", tmp_path / "out")
    assert [file.read_text() for file in folder.iterdir()] == ["kept\n"]


def test_a_folder_that_is_not_there_is_empty(partition: Path, tmp_path: Path) -> None:
    assert list(read_folder(partition, "/dictate/other", tmp_path / "out").iterdir()) == []


def test_damage_beyond_the_journal_is_not_clean(partition: Path) -> None:
    with partition.open("r+b") as disk:
        disk.seek(SIZE // 16)
        disk.write(b"\xff" * (SIZE // 4))
    assert not repair(partition).clean


def table(sectors: int) -> bytes:
    sector = bytearray(512)
    struct.pack_into("<B3sB3sII", sector, 446, 0, b"", 0x83, b"", START // 512, sectors)
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


@pytest.fixture
def recorded(tmp_path: Path, partition: Path) -> tuple[Replay, list[blocklog.Entry], Path]:
    """A card with one ext4 partition, to which two journals are written: that is, whole images of them."""
    card = tmp_path / "card.img"
    card.write_bytes(table(SIZE // 512).ljust(START, b"\0") + partition.read_bytes())
    later = tmp_path / "later"
    (later / "dictate/journal").mkdir(parents=True)
    (later / "dictate/journal/journal-00000001.jsonl").write_text("kept\nkept too\n")
    image = ext4(later, tmp_path / "later.ext4").read_bytes()
    grown = table(2 * SIZE // 512)
    asked = [
        (Kind.WRITE, START // 512, image),
        (Kind.WRITE, 0, grown),
        (Kind.FLUSH, 0, b""),
        (Kind.WRITE, START // 512 + 8, b"\xee" * 4096),
        (Kind.WRITE, START // 512 + 64, b"\xdd" * 4096),
    ]
    log = tmp_path / "log"
    log.write_bytes(record(asked))
    with log.open("rb") as stream:
        entries = list(blocklog.entries(stream))
    return Replay(Card.of(card), START + 2 * SIZE, log, entries), entries, tmp_path


def test_partitions_of_cuts_have_what_was_flushed_and_what_survived(
    recorded: tuple[Replay, list[blocklog.Entry], Path],
) -> None:
    replay, entries, folder = recorded
    cuts = [cut(entries, at, fate, random.Random(0)) for at, fate in ((1, Fate.LOST), (4, Fate.LOST), (5, Fate.KEPT))]
    seen = []
    for made, partition in replay.partitions(cuts, folder):
        assert partition.stat().st_size == (SIZE if made.at == 1 else 2 * SIZE), "the table of that moment counts"
        if made.at < 5:
            text = read_folder(partition, "/dictate/journal", folder / str(made.at))
            seen.append((text / "journal-00000001.jsonl").read_text())
        else:
            assert partition.read_bytes()[4096:8192] == b"\xee" * 4096
    assert seen == ["kept\n", "kept\nkept too\n"]


def test_a_whole_card_is_rebuilt_with_torn_writes(recorded: tuple[Replay, list[blocklog.Entry], Path]) -> None:
    replay, entries, folder = recorded
    made = Cut(len(entries), 2, Fate.TORN, (Survivor(3, (0, 7)), Survivor(4)))
    card = replay.card(made, folder / "rebuilt.img").read_bytes()
    assert len(card) == START + 2 * SIZE
    torn = card[START + 4096 : START + 8192]
    assert torn[:512] == torn[-512:] == b"\xee" * 512 and torn[512:1024] != b"\xee" * 512
    assert card[START + 64 * 512 :][:4096] == b"\xdd" * 4096
