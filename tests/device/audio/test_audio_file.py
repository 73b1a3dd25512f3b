"""WaveFile and Converter: any recording in, 16 kHz mono int16 blocks out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from device.audio.chunk import Converter
from device.audio.decode import AudioError
from device.audio.file import WaveFile


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def whole(path: Path, block: int = 1_600) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in WaveFile(path, block)])


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_16_khz_samples_arrive_unchanged(tmp_path: Path, suffix: str) -> None:
    samples = np.random.default_rng(4).integers(-32_768, 32_768, 20_001, dtype=np.int16)
    path = tmp_path / f"noise.{suffix}"
    soundfile.write(path, samples, 16_000)
    np.testing.assert_array_equal(whole(path), samples)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_keep_pitch_level_and_length(tmp_path: Path, suffix: str, rate: int) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(2.0, rate), rate)
    heard = whole(path)
    assert heard.dtype == np.int16
    assert abs(len(heard) - 32_000) <= 2_400  # MP3 pads with up to two frames
    middle = heard[8_000:24_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() == 440
    assert np.sqrt(np.mean(middle.astype(float) ** 2)) == pytest.approx(0.5 * 32_768 / np.sqrt(2), rel=0.02)


def test_frequencies_above_8_khz_do_not_fold_back(tmp_path: Path) -> None:
    path = tmp_path / "high.wav"
    soundfile.write(path, tone(1.0, 48_000, hertz=11_000.0), 48_000)
    assert np.abs(whole(path)[1_600:-1_600]).max() < 10


def test_channels_without_sound_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.full((1_600, 2), [8_000, -4_000], np.int16), 16_000)
    assert set(whole(path)) == {2_000}


def test_chunks_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(1.05, 16_000), 16_000)
    source = WaveFile(path, block=1_600)
    chunks = list(source)
    assert [chunk.first for chunk in chunks] == list(range(0, 16_800, 1_600))
    assert {len(chunk.samples) for chunk in chunks[:-1]} == {1_600}
    assert len(chunks[-1].samples) == 800
    assert {chunk.overruns for chunk in chunks} == {0}
    assert len(list(source)) == len(chunks), "a second iteration starts again"


def test_float_files_saturate(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([2.0, -2.0, np.nan, 0.25], np.float32), 16_000, subtype="FLOAT")
    assert whole(path).tolist() == [32_767, -32_768, 0, 8_192]


def test_channels_that_are_alike_arrive_unchanged(tmp_path: Path) -> None:
    samples = np.random.default_rng(4).integers(-32_768, 32_768, 20_001, dtype=np.int16)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([samples, samples], axis=1), 16_000)
    np.testing.assert_array_equal(whole(path), samples)


@pytest.mark.parametrize("content", [None, b"", b"RIFF\0\0\0\0WAVEjunk", b"<html>"])
def test_what_is_no_recording_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=r"broken\.wav: .*; "):
        list(WaveFile(path))


@given(
    rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    block=st.integers(1, 4_000),
    cuts=st.lists(st.integers(0, 30_000), max_size=6),
)
def test_cutting_the_input_differently_changes_nothing(rate: int, block: int, cuts: list[int]) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 30_000).astype(np.float32)
    reference = Converter(rate, 16_000)
    expected = np.concatenate([*reference.feed(samples), *reference.finish()])
    converter = Converter(rate, block)
    blocks = [b for piece in np.split(samples, sorted(cuts)) for b in converter.feed(piece)]
    tail = list(converter.finish())
    assert all(len(b) == block for b in [*blocks, *tail[:-1]])
    np.testing.assert_array_equal(np.concatenate([*blocks, *tail]), expected)
