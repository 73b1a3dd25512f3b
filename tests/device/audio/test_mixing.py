"""A voice on any channel is heard; dead, hissing and opposite channels do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.audio.mixing import Mixer

RATE = 16_000
Sound = NDArray[np.float32]


def noise(seconds: float, level: float, seed: int) -> Sound:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.float32)


def voice(seconds: float = 6.0, seed: int = 0) -> Sound:
    """Syllables of coloured noise, 5 a second, in phrases with pauses between, after a moment of silence."""
    time = np.arange(round(seconds * RATE)) / RATE
    envelope = np.sin(np.pi * 5 * time).clip(0) * (time % 2 > 0.4)
    smooth = np.convolve(noise(seconds, 1.0, seed), np.ones(6) / 6, "same")
    return (0.2 * envelope * smooth).astype(np.float32)


def mixed(*channels: Sound, pieces: int = 1_600, rate: int = RATE) -> Sound:
    sound = np.stack(channels, axis=1).astype(np.float32)
    mixer = Mixer(rate, sound.shape[1])
    parts = [mixer.feed(sound[at : at + pieces]) for at in range(0, len(sound), pieces)]
    return np.concatenate([*parts, mixer.finish()])


def error(heard: Sound, wanted: Sound) -> float:
    """Power of what is not `wanted`, in dB to it; an offset, even a slowly changing one, does not count."""
    heard, wanted = np.diff(heard), np.diff(wanted)
    return float(10 * np.log10(np.mean((heard - wanted) ** 2) / np.mean(wanted**2) + 1e-12))


VOICE = voice()
NONE = np.zeros_like(VOICE)
CASES = {
    "only right": ([NONE, VOICE], -45.0),
    "only left": ([VOICE, NONE], -45.0),
    "alike": ([VOICE, VOICE], -100.0),
    "opposite": ([VOICE, -VOICE], -45.0),
    "opposite and faint": ([VOICE, -0.1 * VOICE], -30.0),
    "an offset beside it": ([VOICE, NONE + 0.5], -45.0),
    "a drifting offset beside it": ([VOICE, np.linspace(-0.5, 0.5, len(VOICE)).astype(np.float32)], -40.0),
    "an offset below it": ([NONE, VOICE + 0.3], -45.0),
    "faint hiss beside it": ([VOICE, noise(6, 0.003, 1)], -25.0),
    "hiss as loud as it": ([VOICE, noise(6, 0.03, 1)], -5.0),
    "an open input beside it": ([noise(6, 3e-5, 1), VOICE], -45.0),
    "one of six": ([NONE, NONE + 0.2, noise(6, 0.003, 1), VOICE, NONE, noise(6, 1e-5, 2)], -25.0),
    "on three of six": ([NONE, VOICE, -VOICE, noise(6, 0.003, 1), VOICE, NONE], -25.0),
}


@pytest.mark.parametrize("case", CASES)
def test_the_voice_is_heard_whole(case: str) -> None:
    channels, allowed = CASES[case]
    heard = mixed(*channels)
    sign = np.sign(np.dot(np.diff(heard), np.diff(VOICE)))
    assert error(sign * heard, VOICE) <= allowed


def test_two_people_with_a_microphone_each_are_both_heard() -> None:
    first, second = voice(4, 1), voice(4, 2)
    quiet = np.zeros_like(first)
    left, right = np.concatenate([first, quiet, first]), np.concatenate([quiet, second, quiet])
    heard = mixed(left + noise(12, 1e-3, 3), right + noise(12, 1e-3, 4))
    assert error(heard, left + right) < -20


def test_silence_stays_silent() -> None:
    assert not mixed(NONE, NONE).any()
    hiss = [noise(6, 0.01, 1), noise(6, 0.01, 2)]
    assert np.std(mixed(*hiss)) < 0.0101


def test_what_is_no_number_spoils_only_itself() -> None:
    broken = VOICE.copy()
    broken[::1_000] = np.nan
    broken[5::1_000] = np.inf
    heard = mixed(NONE, broken)
    assert np.isfinite(heard).all()


@given(
    seed=st.integers(0, 99),
    channels=st.integers(1, 8),
    length=st.integers(0, 4_000),
    pieces=st.integers(1, 3_000),
    rate=st.sampled_from([8_000, 44_100, 48_000]),
)
def test_cutting_the_input_differently_changes_nothing(
    seed: int, channels: int, length: int, pieces: int, rate: int
) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, (channels, length)).astype(np.float32)
    np.testing.assert_array_equal(mixed(*sound, pieces=pieces, rate=rate), mixed(*sound, pieces=10_000, rate=rate))
    assert len(mixed(*sound, pieces=pieces, rate=rate)) == length


@given(seed=st.integers(0, 999), channels=st.integers(1, 6))
def test_it_is_never_louder_than_the_loudest_channel(seed: int, channels: int) -> None:
    sound = np.random.default_rng(seed).uniform(-1, 1, (channels, 3_000)).astype(np.float32)
    assert np.abs(mixed(*sound)).max() <= np.abs(sound).max() + 1e-6
