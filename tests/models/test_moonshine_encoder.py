"""The CPU's part of Moonshine's encoder, in NumPy: against plain definitions, and in chunks as in one go."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moonshine_weights import HEADS, WIDTH, weights

from models import moonshine
from models.moonshine import Float, Stem, Weights


def sound(samples: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def convolved(x: Float, kernel: Float, bias: Float | float, stride: int) -> Float:
    """[T, in] by [out, in, k], written as the sum that a convolution is."""
    count = (len(x) - kernel.shape[2]) // stride + 1
    out = [np.einsum("kc,ock->o", x[t * stride : t * stride + kernel.shape[2]], kernel) for t in range(count)]
    return np.array(out, np.float32) + bias


def erf_gelu(x: Float) -> Float:
    return np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(x.shape)


def test_gelu_is_that_of_the_error_function() -> None:
    x = np.linspace(-12, 12, 20_001, dtype=np.float32)
    assert np.abs(moonshine.gelu(x) - erf_gelu(x)).max() < 2e-6


def test_the_stem_is_three_convolutions_with_a_norm_over_the_segment() -> None:
    w, x = weights(), sound(4000)
    heard = np.tanh(convolved(x[:, None], w.conv1[:, None], 0.0, 64))
    normal = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-5) * w.group_gain + w.group_bias
    second = erf_gelu(convolved(normal, w.conv2, w.conv2_bias, 3))
    expected = erf_gelu(convolved(second, w.conv3, w.conv3_bias, 2))
    stem = Stem(w)
    stem.push(x)
    assert stem.frames().shape == expected.shape
    np.testing.assert_allclose(stem.frames(), expected, atol=2e-5)


@given(cuts=st.lists(st.integers(0, 5000), max_size=12), length=st.integers(0, 5000))
def test_sound_may_come_in_chunks_of_any_size(cuts: list[int], length: int) -> None:
    w, x = weights(), sound(length)
    whole, chunked = Stem(w), Stem(w)
    whole.push(x)
    edges = [0, *sorted(min(cut, length) for cut in cuts), length]
    for begin, end in itertools.pairwise(edges):
        chunked.push(x[begin:end])
    assert whole.frames().shape == chunked.frames().shape
    assert len(whole.frames()) == max(0, (((length - 127) // 64 + 1 - 7) // 3 + 1 - 3) // 2 + 1 if length >= 127 else 0)
    np.testing.assert_allclose(whole.frames(), chunked.frames(), atol=1e-5)


def test_attention_is_softmax_over_all_frames_with_rotated_queries_and_keys() -> None:
    w, count = weights(), 5
    qkv = np.random.default_rng(1).standard_normal((count, 3 * WIDTH)).astype(np.float32)
    depth = WIDTH // HEADS

    def turned(x: Float, position: int) -> Float:
        pairs = x[:4].reshape(2, 2) @ np.eye(2)
        angle = position * w.inverse_frequencies
        return np.concatenate(
            [
                np.stack(
                    [
                        pairs[:, 0] * np.cos(angle) - pairs[:, 1] * np.sin(angle),
                        pairs[:, 1] * np.cos(angle) + pairs[:, 0] * np.sin(angle),
                    ],
                    1,
                ).ravel(),
                x[4:],
            ]
        )

    expected = np.zeros((count, WIDTH))
    for head in range(HEADS):
        at = slice(head * depth, (head + 1) * depth)
        q, k, v = (part[:, at] for part in np.split(qkv, 3, 1))
        for t in range(count):
            scores = np.array([turned(q[t], t) @ turned(k[u], u) for u in range(count)]) / math.sqrt(depth)
            share = np.exp(scores - scores.max())
            expected[t, at] = share / share.sum() @ v
    np.testing.assert_allclose(moonshine.attend(w, qkv), expected, atol=1e-5)


def test_pieces_are_called_in_order_and_silence_calls_none() -> None:
    w, called = weights(), list[str]()

    def linear(name: str, x: Float) -> Float:
        called.append(name)
        return np.zeros((len(x), 3 * WIDTH if name.endswith("qkv") else WIDTH), np.float32)

    frames = sound(3 * WIDTH).reshape(3, WIDTH)
    answer = moonshine.encode(w, frames, linear)
    assert called == moonshine.pieces(2)
    np.testing.assert_allclose(answer, moonshine.normalize(frames, w.final_norm), atol=1e-6)
    called.clear()
    assert moonshine.encode(w, Stem(w).frames(), linear).shape == (0, WIDTH)
    assert not called


def test_weights_read_back(tmp_path: Path) -> None:
    w = weights()
    w.save(tmp_path / "weights.npz")
    read = Weights.load(tmp_path / "weights.npz")
    assert (read.heads, read.layers, read.width) == (HEADS, 2, WIDTH)
    np.testing.assert_array_equal(read.conv2, w.conv2)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises((OSError, ValueError, KeyError)):
        Weights.load(tmp_path / "broken.npz")
