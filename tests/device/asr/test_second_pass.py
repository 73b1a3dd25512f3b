"""The second pass with small random weights: chunks, blocks, and one segment after another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from moonshine_weights import WIDTH, weights
from numpy.typing import NDArray

from device.asr.attention_decoder import Transcript
from device.asr.second_pass import SHORTEST, SecondPass, in_pieces
from models import moonshine
from models.moonshine import Float
from models.pieces import Int8, Piece

RANDOM = np.random.default_rng(5)
LAYERS = {
    name: (RANDOM.standard_normal((WIDTH, 3 * WIDTH if name.endswith("qkv") else WIDTH)) / 4).astype(np.float32)
    for name in moonshine.pieces(2)
}


def linear(name: str, x: Float) -> Float:
    return x @ LAYERS[name]


class Kept:
    """A decoder that keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[Float, float, int]] = []

    def decode(self, hidden: Float, seconds: float, beam: int = 4, margin: float = 0.0) -> Sequence[Transcript]:
        self.given.append((hidden, seconds, beam))
        return [Transcript("words", (9,), -0.1, True)]


NOTHING = np.zeros(0, np.int16)


def sound(samples: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-9_000, 9_000, samples).astype(np.int16)


def heard(samples: NDArray[np.int16], cuts: Sequence[int] = ()) -> tuple[Float, float]:
    decoder = Kept()
    second = SecondPass(weights(), linear, decoder)
    for begin, end in pairwise([0, *sorted(cuts), len(samples)]):
        second.accept_waveform(samples[begin:end])
    assert second.samples == len(samples)
    second.finish(NOTHING)(2)
    ((hidden, seconds, beam),) = decoder.given
    assert beam == 2
    return hidden, seconds


@given(cuts=st.lists(st.integers(0, 24_000), max_size=8))
def test_chunks_change_nothing(cuts: list[int]) -> None:
    samples = sound(24_000)
    np.testing.assert_allclose(heard(samples, cuts)[0], heard(samples)[0], atol=1e-4)


def test_a_segment_does_not_depend_on_the_one_before() -> None:
    decoder = Kept()
    second = SecondPass(weights(), linear, decoder)
    for given_up in (False, True):
        second.accept_waveform(sound(20_000, seed=1))
        if given_up:
            second.reset()
        else:
            second.finish(NOTHING)(4)
    second.accept_waveform(sound(20_000))
    second.finish(NOTHING)(4)
    np.testing.assert_array_equal(decoder.given[-1][0], heard(sound(20_000))[0])


def test_a_segment_may_be_decoded_while_the_next_one_comes() -> None:
    decoder = Kept()
    second = SecondPass(weights(), linear, decoder)
    one, other = sound(20_000, seed=1), sound(18_000, seed=2)
    second.accept_waveform(one[:7_000])
    decode_one = second.finish(one[7_000:])
    second.accept_waveform(other[:9_000])
    decode_one(4)
    second.finish(other[9_000:])(1)
    for (hidden, seconds, beam), (samples, wanted) in zip(decoder.given, ((one, 4), (other, 1)), strict=True):
        np.testing.assert_allclose(hidden, heard(samples)[0], atol=1e-4)
        assert (seconds, beam) == (len(samples) / 16_000, wanted)


def test_a_short_segment_is_filled_up_with_silence() -> None:
    short, silence = sound(4_000), np.zeros(SHORTEST - 4_000, np.int16)
    hidden, seconds = heard(short)
    assert seconds == SHORTEST / 16_000
    np.testing.assert_array_equal(hidden, heard(np.concatenate([short, silence]))[0])
    assert heard(np.zeros(0, np.int16))[1] == SHORTEST / 16_000


def test_more_frames_than_a_call_takes_run_in_blocks() -> None:
    """A piece that returns its input: whatever the number of frames, each comes back, and calls are full."""
    calls: list[tuple[int, ...]] = []

    def invoke(x: Int8) -> Int8:
        calls.append(x.shape)
        return x

    same = Piece(np.full(3, 100, np.float32), 0, np.full(3, 0.01, np.float32), np.zeros(3, np.float32))
    pieces = in_pieces({"0.o": same}, 8, {"0.o": invoke})
    for frames in (1, 8, 9, 30):
        x = np.round(np.random.default_rng(frames).uniform(-1, 1, (frames, 3)), 2).astype(np.float32)
        np.testing.assert_allclose(pieces("0.o", x), x, atol=1e-6)
    assert set(calls) == {(1, 1, 8, 3)} and len(calls) == 1 + 1 + 2 + 4
