"""What every source of sound promises, asked of the recording and of the microphone alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from device.audio.chunk import Chunk, PreRoll
from device.audio.file import WaveFile
from device.audio.microphone import Microphone
from device.config.schema import AudioSettings

NOISE = np.random.default_rng(11).integers(-32_768, 32_767, 48_000, dtype=np.int16)


@pytest.fixture(params=["file", "microphone"])
def source(request: pytest.FixtureRequest, tmp_path: Path, sound_card: Callable[..., Any]) -> Iterable[Chunk]:
    if request.param == "file":
        soundfile.write(tmp_path / "noise.wav", NOISE, 16_000)
        return WaveFile(tmp_path / "noise.wav")
    sound_card(NOISE, speed=8)
    return Microphone(AudioSettings(device="virtual"), print)


def test_chunks_are_100_ms_of_the_sound_in_order(source: Iterable[Chunk]) -> None:
    chunks = list(islice(source, 30))
    assert [chunk.first for chunk in chunks] == list(range(0, 48_000, 1_600))
    assert {chunk.samples.dtype for chunk in chunks} == {np.dtype(np.int16)}
    assert {chunk.overruns for chunk in chunks} == {0}
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), NOISE)


def test_a_new_iteration_begins_anew(source: Iterable[Chunk]) -> None:
    for _ in range(2):
        first = next(iter(source))
        assert first.first == 0
        np.testing.assert_array_equal(first.samples, NOISE[:1_600])


@given(sizes=st.lists(st.integers(0, 3_000), max_size=40), milliseconds=st.integers(0, 1_000))
def test_the_pre_roll_is_the_end_of_what_was_heard(sizes: list[int], milliseconds: int) -> None:
    preroll, first = PreRoll(milliseconds), 0
    for size in sizes:
        preroll.push(Chunk(np.arange(first, first + size, dtype=np.int16), first, overruns=0))
        first += size
    taken = preroll.take()
    held = np.concatenate([np.zeros(0, np.int16), *(chunk.samples for chunk in taken)])
    assert held.tolist() == np.arange(first - len(held), first, dtype=np.int16).tolist()
    assert len(held) >= min(first, 16 * milliseconds)
    assert not taken or len(held) - len(taken[0].samples) < 16 * milliseconds
    assert preroll.take() == []


@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=10))
def test_joined_chunks_are_the_sound(sizes: list[int]) -> None:
    sound = np.arange(sum(sizes), dtype=np.int16)
    ends = np.cumsum(sizes)
    pairs = enumerate(zip(ends, sizes, strict=True))
    chunks = [Chunk(sound[end - size : end], int(end - size), k) for k, (end, size) in pairs]
    whole = functools.reduce(Chunk.joined, chunks)
    assert whole.first == 0 and whole.overruns == len(sizes) - 1
    np.testing.assert_array_equal(whole.samples, sound)
