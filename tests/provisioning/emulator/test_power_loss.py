"""The model of a power cut, against a card that is simulated request by request."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from block_records import Request, record, requests
from hypothesis import given
from hypothesis import strategies as st

from provisioning.emulator import blocklog
from provisioning.emulator.blocklog import Kind
from provisioning.emulator.power_loss import (
    Cut,
    Fate,
    Medium,
    changes,
    cut,
    flushed_before,
    moments,
    outcomes,
    plan,
    volatile,
)

SECTORS = 16
logs = st.lists(requests(SECTORS), min_size=1, max_size=25)


def parsed(asked: list[Request]) -> tuple[list[blocklog.Entry], io.BytesIO]:
    log = io.BytesIO(record(asked))
    return list(blocklog.entries(log)), log


def rebuilt(asked: list[Request], made: Cut) -> list[int]:
    """The first byte of each sector of a disk of zeros after the cut."""
    entries, log = parsed(asked)
    disk = io.BytesIO(bytes(SECTORS * 512))
    medium = Medium(disk, log, 0, SECTORS * 512)
    for entry, sectors in changes(entries, made):
        medium.apply(entry, sectors)
    return list(disk.getvalue()[::512])


def possible(asked: list[Request], at: int) -> list[set[int]]:
    """For each sector what it may hold after a cut: each value since, and at, the last flush that was answered."""
    sure: list[int] = [0] * SECTORS
    maybe: list[set[int]] = [{0} for _ in range(SECTORS)]
    for place, (kind, first, data) in enumerate(asked[:at]):
        if Kind.FLUSH in kind and place < at - 1:
            maybe = [{value} for value in sure]
        for sector in range(first, first + len(data) // 512):
            value = 0 if Kind.DISCARD in kind else data[0]
            sure[sector] = value
            maybe[sector] = {value} if Kind.FUA in kind and place < at - 1 else maybe[sector] | {value}
    return maybe


@given(logs, st.sampled_from(Fate), st.integers(0, 9), st.data())
def test_every_sector_holds_what_a_volatile_cache_may_leave(
    asked: list[Request], fate: Fate, seed: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(asked)))
    entries, _ = parsed(asked)
    disk = rebuilt(asked, cut(entries, at, fate, random.Random(seed)))
    for held, allowed in zip(disk, possible(asked, at), strict=True):
        assert held in allowed


@given(logs, st.data())
def test_all_kept_is_the_disk_as_written_and_all_lost_the_disk_as_flushed(
    asked: list[Request], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(asked)))
    entries, _ = parsed(asked)
    everything, flushed = [0] * SECTORS, [0] * SECTORS
    border = flushed_before(entries, at)
    for place, (kind, first, content) in enumerate(asked[:at]):
        for sector in range(first, first + len(content) // 512):
            value = 0 if Kind.DISCARD in kind else content[0]
            everything[sector] = value
            if place < border or (Kind.FUA in kind and place < at - 1):
                flushed[sector] = value
    choose = random.Random(0)
    assert rebuilt(asked, cut(entries, at, Fate.KEPT, choose)) == everything
    assert rebuilt(asked, cut(entries, at, Fate.LOST, choose)) == flushed


def test_each_write_after_a_flush_is_kept_or_lost_by_itself() -> None:
    asked = [(Kind.WRITE, n, bytes([n + 1]) * 512) for n in range(3)]
    entries, _ = parsed(asked)
    choose = random.Random(1)
    seen = {tuple(rebuilt(asked, cut(entries, 3, Fate.SOME, choose))[:3]) for _ in range(200)}
    assert seen == {(a, b, c) for a in (0, 1) for b in (0, 2) for c in (0, 3)}


def test_a_torn_write_has_old_and_new_sectors() -> None:
    asked = [(Kind.WRITE, 0, b"\7" * 2048)]
    entries, _ = parsed(asked)
    choose = random.Random(2)
    seen = {tuple(rebuilt(asked, cut(entries, 1, Fate.TORN, choose))[:4]) for _ in range(500)}
    assert len(seen) == 16


def test_a_flush_that_is_under_way_promises_nothing() -> None:
    asked = [(Kind.WRITE, 0, b"\1" * 512), (Kind.FLUSH, 0, b""), (Kind.WRITE, 1, b"\2" * 512)]
    entries, _ = parsed(asked)
    assert [volatile(entries, at) for at in range(4)] == [[], [0], [0], [2]]


@given(logs, st.integers(1, 30), st.integers(0, 9))
def test_a_plan_is_in_order_without_twins_and_the_same_again(asked: list[Request], count: int, seed: int) -> None:
    entries, _ = parsed(asked)
    cuts = plan(entries, 0, len(entries), count, seed)
    assert cuts == plan(entries, 0, len(entries), count, seed)
    assert [c.at for c in cuts] == sorted(c.at for c in cuts)
    assert len({(c.at, c.flushed, c.survivors) for c in cuts}) == len(cuts) <= count
    assert all(volatile(entries, c.at) for c in cuts)


def all_outcomes(asked: list[Request], at: int) -> list[Cut]:
    """Taking every sector of every write for changed."""
    entries, _ = parsed(asked)
    changed = {place: range(entries[place].size // 512) for place in volatile(entries, at)}
    return outcomes(entries, at, changed, seed=0)


@given(st.lists(requests(SECTORS), min_size=1, max_size=6), st.integers(0, 9), st.data())
def test_outcomes_of_the_moments_include_those_of_every_cut(
    asked: list[Request], seed: int, data: st.DataObject
) -> None:
    entries, _ = parsed(asked)
    at = data.draw(st.integers(0, len(asked)).filter(lambda at: volatile(entries, at)))
    alone = len(volatile(entries, at)) == 1
    fate = data.draw(st.sampled_from([Fate.LOST, Fate.KEPT, Fate.SOME, *([Fate.TORN] if alone else [])]))
    left = rebuilt(asked, cut(entries, at, fate, random.Random(seed)))
    later = [moment for moment in moments(entries, 0, len(asked)) if moment >= at]
    assert left in [rebuilt(asked, made) for made in all_outcomes(asked, later[0])]


@given(logs, st.data())
def test_outcomes_are_possible_and_differ(asked: list[Request], data: st.DataObject) -> None:
    entries, _ = parsed(asked)
    at = data.draw(st.sampled_from([0, *moments(entries, 0, len(asked))]))
    made = all_outcomes(asked, at)
    assert len({(c.at, c.survivors) for c in made}) == len(made)
    for outcome in made[:50]:
        for held, allowed in zip(rebuilt(asked, outcome), possible(asked, at), strict=True):
            assert held in allowed


def test_of_many_writes_the_outcomes_have_each_one_lost_or_kept_alone_and_every_prefix() -> None:
    asked = [(Kind.WRITE, n, bytes([n + 1]) * 512) for n in range(12)]
    disks = [rebuilt(asked, made)[:12] for made in all_outcomes(asked, 12)]
    whole = list(range(1, 13))
    for n in range(12):
        assert [v if at == n else 0 for at, v in enumerate(whole)] in disks
        assert [0 if at == n else v for at, v in enumerate(whole)] in disks
        assert [v if at < n else 0 for at, v in enumerate(whole)] in disks


def test_only_the_part_asked_for_is_written(tmp_path: Path) -> None:
    asked = [(Kind.WRITE, 0, b"\1" * 512 * 4)]
    entries, log = parsed(asked)
    disk = io.BytesIO(bytes(512 * 2))
    Medium(disk, log, 512, 512 * 3).apply(entries[0])
    assert disk.getvalue() == b"\1" * 1024


def test_the_model_finds_a_journal_that_forgets_to_flush() -> None:
    """A writer that acknowledges before its flush loses what it acknowledged in some cut: the check can fail."""
    asked: list[Request] = []
    acknowledged = []
    for n in range(8):
        asked.append((Kind.WRITE, n, bytes([n + 1]) * 512))
        acknowledged.append(len(asked))
        if n % 4 == 3:
            asked.append((Kind.FLUSH, 0, b""))
    entries, _ = parsed(asked)
    lost = [
        made
        for made in plan(entries, 0, len(entries), 40, seed=0)
        for n, at in enumerate(acknowledged)
        if at < made.at and rebuilt(asked, made)[n] != n + 1
    ]
    assert lost


@pytest.mark.parametrize("fate", Fate)
def test_a_journal_that_flushes_first_loses_nothing(fate: Fate) -> None:
    asked: list[Request] = []
    acknowledged = []
    for n in range(8):
        asked += [(Kind.WRITE, n, bytes([n + 1]) * 512), (Kind.FLUSH, 0, b"")]
        acknowledged.append(len(asked))
    entries, _ = parsed(asked)
    for at in range(len(entries) + 1):
        disk = rebuilt(asked, cut(entries, at, fate, random.Random(at)))
        assert all(disk[n] == n + 1 for n, ack in enumerate(acknowledged) if ack < at)
