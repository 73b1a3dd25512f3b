"""The part of Moonshine's speech encoder that runs on the CPU, in NumPy, around the linear layers that run elsewhere.

The convolutional stem, layer norms, rotary position embedding, attention and residual sums are here. What has constant
weights, three pieces a layer (PIECES), is passed in: the converter passes the float layers, the device its int8 ones.

    stem = Stem(weights)
    for chunk in speech:                        # convolutions run while the speaker speaks
        stem.push(chunk)
    hidden = encode(weights, stem.frames(), linear)
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Linear = Callable[[str, Float], Float]
"""(name of a piece, its input [T, in]) -> its output [T, out]; see `pieces`."""

SAMPLE_RATE = 16_000  # Hz
STRIDES = (64, 3, 2)  # of the three convolutions: a frame is 384 samples, 24 ms
KERNELS = (127, 7, 3)
PIECES = ("qkv", "o", "mlp")
EPSILON = np.float32(1e-5)  # of the group norm and the layer norms
ROWS = 64  # that the GELU takes at once


def pieces(layers: int) -> list[str]:
    """Names of the pieces in the order of computation.

    "N.qkv" maps normalized frames to queries, keys and values side by side, "N.o" is the attention's output projection
    and "N.mlp" the feed-forward part, both of its layers with the GELU between them.

    >>> pieces(2)
    ['0.qkv', '0.o', '0.mlp', '1.qkv', '1.o', '1.mlp']
    """
    return [f"{layer}.{piece}" for layer in range(layers) for piece in PIECES]


def frames(samples: int) -> int:
    """How many frames the stem makes of so many samples.

    >>> frames(894), frames(895), frames(5 * SAMPLE_RATE)
    (0, 1, 207)
    """
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        samples = max(0, (samples - kernel) // stride + 1)
    return samples


@dataclass(frozen=True)
class Weights:
    """Float32 weights of the part on the CPU; C is the model's width, L its number of layers."""

    conv1: Float  # [C, 127], stride 64 samples, no bias; tanh follows
    group_gain: Float  # [C]; one group: mean and variance are those of the whole segment
    group_bias: Float  # [C]
    conv2: Float  # [2 C, C, 7], stride 3; GELU follows
    conv2_bias: Float  # [2 C]
    conv3: Float  # [C, 2 C, 3], stride 2; GELU follows
    conv3_bias: Float  # [C]
    attention_norm: Float  # [L, C], gain of the layer norm before "qkv"
    mlp_norm: Float  # [L, C], gain of the layer norm before "mlp"
    final_norm: Float  # [C]
    inverse_frequencies: Float  # [R / 2] of the rotary embedding, which turns the first R channels of each head
    heads: int

    @property
    def width(self) -> int:
        return len(self.final_norm)

    @property
    def layers(self) -> int:
        return len(self.attention_norm)

    def save(self, path: Path) -> None:
        """Writes all of it as .npz."""
        packed = io.BytesIO()
        np.savez(packed, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})
        path.write_bytes(packed.getvalue())

    @classmethod
    def load(cls, path: Path) -> Weights:
        """What `save` wrote; OSError, KeyError or ValueError where the file is something else."""
        with np.load(path) as arrays:
            values = {field.name: arrays[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**values, "heads": int(values["heads"])})


class Stem:
    """The convolutions, fed with sound as it arrives.

    The group norm's statistics are known only at the end of the segment, but they are one scale and one shift, and
    conv2 is linear: it runs on frames that are not normalized yet, and `frames` corrects what came out.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._conv1 = np.ascontiguousarray(weights.conv1.T)
        gained = weights.conv2 * weights.group_gain[:, None]
        self._conv2 = _columns(gained)
        self._shift = gained.sum((1, 2))
        self._offset = weights.conv2_bias + np.einsum("ock,c->o", weights.conv2, weights.group_bias)
        self._conv3 = _columns(weights.conv3)
        self.reset()

    def reset(self) -> None:
        """Forgets all that was pushed: the next sample begins a segment."""
        self._samples = np.zeros(0, np.float32)
        self._tanh = np.zeros((0, self._weights.width), np.float32)
        self._done: list[Float] = []
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def push(self, samples: Float) -> None:
        """Takes the next samples [n] in [-1, 1), of any number, at SAMPLE_RATE."""
        self._samples = np.concatenate([self._samples, samples])
        windows = _windows(self._samples[:, None], self._conv1.shape[0], STRIDES[0])
        if not len(windows):
            return
        self._samples = self._samples[len(windows) * STRIDES[0] :]
        heard = np.tanh(windows @ self._conv1)
        self._count += heard.size
        self._sum += float(heard.sum(dtype=np.float64))
        self._squares += float(np.square(heard, dtype=np.float64).sum())
        self._tanh = np.concatenate([self._tanh, heard])
        windows = _windows(self._tanh, self._weights.conv2.shape[2], STRIDES[1])
        self._tanh = self._tanh[len(windows) * STRIDES[1] :]
        self._done.append(windows @ self._conv2)

    def frames(self) -> Float:
        """The frames [T, C] of all that was pushed, 41.7 for each second; none of less than 895 samples."""
        if not self._done:
            return np.zeros((0, self._weights.width), np.float32)
        mean = self._sum / self._count
        variance = max(0.0, self._squares / self._count - mean * mean)
        scale = 1 / np.sqrt(variance + float(EPSILON))
        shift = (self._offset - np.float32(mean * scale) * self._shift).astype(np.float32)
        hidden = gelu(np.concatenate(self._done) * np.float32(scale) + shift)
        windows = _windows(hidden, self._weights.conv3.shape[2], STRIDES[2])
        return gelu(windows @ self._conv3 + self._weights.conv3_bias)


def encode(weights: Weights, frames: Float, linear: Linear) -> Float:
    """The encoder's output [T, C] for the stem's `frames` [T, C]."""
    x = frames
    for layer in range(weights.layers if len(frames) else 0):
        mixed = attend(weights, linear(f"{layer}.qkv", normalize(x, weights.attention_norm[layer])))
        x = x + linear(f"{layer}.o", mixed)
        x = x + linear(f"{layer}.mlp", normalize(x, weights.mlp_norm[layer]))
    return normalize(x, weights.final_norm)


def attend(weights: Weights, qkv: Float) -> Float:
    """Self-attention over all frames: [T, 3 C], queries, keys and values side by side, to [T, C]."""
    count, width = len(qkv), weights.width
    q, k, v = qkv.reshape(count, 3, weights.heads, -1).transpose(1, 2, 0, 3)  # [heads, T, C / heads] each
    cosines, sines = _rotation(weights.inverse_frequencies, count)
    scores: Float = _rotate(q, cosines, sines) @ _rotate(k, cosines, sines).swapaxes(1, 2)
    scores *= np.float32(1 / np.sqrt(width // weights.heads))
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    attended: Float = np.ascontiguousarray((scores @ v).swapaxes(0, 1)).reshape(count, width)
    return attended


def normalize(x: Float, gain: Float) -> Float:
    """Layer norm of [T, C] with a gain [C] and no bias."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    normal: Float = (centred / np.sqrt(variance + EPSILON) * gain).astype(np.float32, copy=False)
    return normal


def gelu(x: Float) -> Float:
    """GELU of [T, C] by the error function, a few rows at a time, whose intermediate values stay in the cache."""
    gated = np.empty_like(x)
    for start in range(0, len(x), ROWS):
        gated[start : start + ROWS] = _gelu(x[start : start + ROWS])
    return gated


def _gelu(x: Float) -> Float:
    """The error function is Abramowitz and Stegun 7.1.26, good to 1.5e-7."""
    z = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * np.float32(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(coefficient)) * t
    tail = np.float32(0.5) * series * np.exp(-z * z)  # of the normal distribution, beyond |x|
    gated: Float = x * np.where(x < 0, tail, 1 - tail)
    return gated


def _windows(x: Float, kernel: int, stride: int) -> Float:
    """[T, C] as the inputs of a convolution without padding, [(T - kernel) // stride + 1, C * kernel]."""
    if len(x) < kernel:
        return np.zeros((0, x.shape[1] * kernel), np.float32)
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=0)[::stride]
    return seen.reshape(len(seen), -1)


def _columns(kernel: Float) -> Float:
    """[out, in, k] to the matrix [in * k, out] that `_windows` are multiplied by."""
    return np.ascontiguousarray(kernel.reshape(len(kernel), -1).T)


def _rotation(inverse_frequencies: Float, count: int) -> tuple[Float, Float]:
    angles = np.outer(np.arange(count, dtype=np.float32), inverse_frequencies)
    return np.cos(angles), np.sin(angles)


def _rotate(x: Float, cosines: Float, sines: Float) -> Float:
    """Rotary position embedding of [heads, T, D]: neighbouring channels are the pairs that turn."""
    turned, width = x.copy(), 2 * cosines.shape[1]
    even, odd = x[..., 0:width:2], x[..., 1:width:2]
    turned[..., 0:width:2] = even * cosines - odd * sines
    turned[..., 1:width:2] = odd * cosines + even * sines
    return turned
