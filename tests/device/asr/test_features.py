"""The streaming front end against the acoustic model's own in ONNX Runtime (tests/data/front_end.py made the file)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.asr.features import LogMel
from models.bundle import Bundle, FrontEnd

GOLDEN = np.load(Path(__file__).parents[2] / "data" / "front_end.npz")


BINS = np.arange(201)[:, None] * np.arange(400)[None] * 2 * np.pi / 400
HANN = 0.5 - 0.5 * np.cos(np.arange(400) * 2 * np.pi / 400)
DFT = (np.concatenate([np.cos(BINS), np.sin(BINS)]) * HANN).astype(np.float32)


def stream() -> LogMel:
    return LogMel(FrontEnd(), DFT, GOLDEN["mel"])


def frames(sizes: list[int], samples: np.ndarray) -> np.ndarray:
    log_mel, parts, begin = stream(), [], 0
    for size in sizes:
        parts.append(log_mel.extract(samples[begin : begin + size]))
        begin += size
    parts += [log_mel.extract(samples[begin:]), log_mel.finish()]
    return np.concatenate(parts)


def test_equals_the_models_own_front_end_on_real_speech(bundle: Path) -> None:
    log_mel = LogMel.of(Bundle.open(bundle))
    heard = np.concatenate([log_mel.extract(GOLDEN["samples"]), log_mel.finish()])
    assert heard.shape == GOLDEN["log_mel"].shape
    assert np.abs(heard - GOLDEN["log_mel"]).max() < 1e-3


def test_an_ideal_dft_is_close_too() -> None:
    assert np.abs(frames([], GOLDEN["samples"]) - GOLDEN["log_mel"]).max() < 0.05


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5_000), max_size=30))
def test_chunk_sizes_do_not_matter(sizes: list[int]) -> None:
    np.testing.assert_allclose(frames(sizes, GOLDEN["samples"]), frames([], GOLDEN["samples"]), atol=1e-3)


@pytest.mark.parametrize("length", [1, 2, 160, 199, 200, 201, 202, 399, 400, 1_600])
def test_short_sounds_give_a_frame_for_every_hop(length: int) -> None:
    assert len(frames([], GOLDEN["samples"][:length])) == length // 160 + 1


def test_a_finished_stream_starts_anew() -> None:
    log_mel = stream()
    once = np.concatenate([log_mel.extract(GOLDEN["samples"]), log_mel.finish()])
    again = np.concatenate([log_mel.extract(GOLDEN["samples"]), log_mel.finish()])
    assert (once == again).all()


def test_nothing_heard_is_no_frame() -> None:
    assert stream().finish().shape == (0, 80)
    assert stream().extract(np.zeros(0, np.int16)).shape == (0, 80)


def test_pre_emphasis_and_no_centring_do_not_depend_on_chunks() -> None:
    front_end = FrontEnd(center=False, preemphasis=0.97)
    samples = GOLDEN["samples"][:20_000]
    whole, split = (LogMel(front_end, DFT, GOLDEN["mel"]) for _ in range(2))
    parts = np.concatenate([split.extract(samples[i : i + 700]) for i in range(0, len(samples), 700)])
    expected = whole.extract(samples)
    assert len(expected) == (len(samples) - 400) // 160 + 1
    assert len(whole.finish()) == 0
    np.testing.assert_allclose(parts, expected, atol=1e-3)
