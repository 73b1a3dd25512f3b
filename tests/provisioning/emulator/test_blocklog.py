"""The record of block writes: what is written in the format comes back, and damage is told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from block_records import record, requests
from hypothesis import given
from hypothesis import strategies as st

from provisioning.emulator import blocklog
from provisioning.emulator.blocklog import Kind, LogError


@given(st.lists(requests(), max_size=20), st.sampled_from([512, 4096]))
def test_entries_come_back_with_their_data(asked: list[tuple[Kind, int, bytes]], sector: int) -> None:
    log = record(asked, sector)
    found = list(blocklog.entries(io.BytesIO(log)))
    assert [entry.kind for entry in found] == [kind for kind, _, _ in asked]
    for entry, (kind, first, data) in zip(found, asked, strict=True):
        size = -(-len(data) // sector) * sector
        assert (entry.offset, entry.size) == (first * sector, size)
        if Kind.DISCARD not in kind:
            assert log[entry.data_at : entry.data_at + entry.data_size] == data.ljust(size, b"\0")


@given(st.lists(requests(), min_size=1, max_size=5), st.data())
def test_a_record_that_ends_in_a_header_is_an_error(asked: list[tuple[Kind, int, bytes]], data: st.DataObject) -> None:
    log = record(asked, 512)
    last = list(blocklog.entries(io.BytesIO(log)))[-1]
    cut = data.draw(st.integers(0, last.data_at - 512 + blocklog.ENTRY.size - 1))
    with pytest.raises(LogError):
        list(blocklog.entries(io.BytesIO(log[:cut])))


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    other = tmp_path / "log"
    other.write_bytes(b"dictation" * 100)
    with pytest.raises(LogError, match="magic"):
        blocklog.length(other)


def test_a_record_that_has_not_begun_has_no_entries(tmp_path: Path) -> None:
    empty = tmp_path / "log"
    empty.write_bytes(b"")
    assert blocklog.length(empty) == 0


def test_the_super_block_says_how_many_count(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(record([(Kind.WRITE, 3, b"a"), (Kind.FLUSH, 0, b"")], 512))
    assert blocklog.length(file) == 2
