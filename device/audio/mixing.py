"""Several channels to one, so that a voice on any of them is heard whole.

An automatic mixer after Dugan ("Automatic microphone mixing", JAES 23, 1975): each channel's share is its power above
its own noise, over that of all channels. A voice on one channel keeps its level, alike channels are averaged, and a
channel that is dead, has only an offset, or only hiss, gets no share. A channel of opposite polarity is turned round
first, or the two would cancel each other.

>>> voice = np.sin(np.arange(16_000) / 10).astype(np.float32)
>>> silent = np.zeros_like(voice)
>>> mixer = Mixer(rate=16_000, channels=2)
>>> mixed = np.concatenate([mixer.feed(np.stack([silent, voice], axis=1)), mixer.finish()])
>>> bool(np.abs(mixed - voice).max() < 0.01)
True
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.04
"""Shares are found for each stretch of this length."""

FADE_S = 0.005
"""Shares change evenly over this long at the beginning of a stretch: too short to lose the first sound of a word."""

RELEASE_S = 0.2
"""A channel keeps its share about this long after its sound: words have gaps."""

ABOVE_NOISE = 2.5
"""Times its own noise (4 dB) that a channel's power must be to count: hiss by itself varies by less."""

NOISE_RISE_S = 10.0
"""Time in which the noise that is taken for granted grows tenfold, where a channel gets louder for good."""

POLARITY_S = 0.5
"""Time over which it is judged whether two channels are of opposite polarity."""

OPPOSITE = -0.5
"""Correlation below which they are."""

OFFSET_S = 2.0
"""Time over which a channel's offset is averaged."""

FAINT = 1e-10
"""Power (-100 dBFS) below which a channel is dead: less than the last bit of 16."""


class Mixer:
    """Mixes [n, channels] to [n], as a stream: cutting the input differently changes nothing.

    A single channel passes unchanged and at once; of several, up to a frame waits until it is whole.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._frame = max(1, round(rate * FRAME_S))
        self._fade = max(1, round(rate * FADE_S))
        self._channels = channels
        self._pending: NDArray[np.float32] = np.zeros((0, channels), np.float32)
        self._power = np.zeros(channels)
        self._noise = np.full(channels, np.inf)
        self._products = np.zeros((channels, channels))
        self._signs = np.ones(channels)
        self._offsets = np.zeros(channels)
        self._applied: NDArray[np.float64] | None = None
        """The signed shares at the end of the last stretch, and what is added so that no offset steps with them."""
        self._settled = False  # whether a channel was ever above its noise

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples [n, channels], full scale ±1; return what can be mixed by now, [m]."""
        if self._channels == 1:
            return samples[:, 0]
        self._pending = np.concatenate([self._pending, np.nan_to_num(samples)])
        whole = len(self._pending) - len(self._pending) % self._frame
        ready, self._pending = self._pending[:whole], self._pending[whole:]
        frames = [self._mix(frame) for frame in ready.reshape(-1, self._frame, self._channels)]
        return np.concatenate([np.zeros(0, np.float32), *frames])

    def finish(self) -> NDArray[np.float32]:
        """Return what is left."""
        left, self._pending = self._pending, self._pending[:0]
        return self._mix(left) if len(left) else np.zeros(0, np.float32)

    def _mix(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        shares = self._judge(frame.astype(np.float64))
        now = np.append(shares, self._offsets.mean() - shares @ self._offsets)
        before = now if self._applied is None else self._applied
        self._applied = now
        grow = (np.arange(len(frame))[:, None] / self._fade).clip(0.0, 1.0)
        weights = before + grow * (now - before)
        return np.asarray(np.einsum("nc,nc->n", frame, weights[:, :-1]) + weights[:, -1], np.float32)

    def _judge(self, frame: NDArray[np.float64]) -> NDArray[np.float64]:
        """The signed share of each channel from now on."""
        seconds = len(frame) / self._frame * FRAME_S
        mean = frame.mean(axis=0)
        self._offsets = mean if self._applied is None else mean + np.exp(-seconds / OFFSET_S) * (self._offsets - mean)
        moving = frame - mean
        products = moving.T @ moving / len(frame)
        power = np.diag(products)
        self._power = np.maximum(power, self._power * np.exp(-seconds / RELEASE_S))
        self._noise = np.minimum(self._power, self._noise * 10 ** (seconds / NOISE_RISE_S))
        above = np.where(self._power > FAINT, self._power - ABOVE_NOISE * self._noise, 0.0).clip(0.0)
        self._turn(products, seconds)
        if not above.any():
            if self._settled and self._applied is not None:
                return np.asarray(self._signs * np.abs(self._applied[:-1]))
            above = np.where(self._power > FAINT, self._power, 0.0)
        else:
            self._settled = True
        shares = above / above.sum() if above.any() else np.full(self._channels, 1 / self._channels)
        return np.asarray(self._signs * shares)

    def _turn(self, products: NDArray[np.float64], seconds: float) -> None:
        """Turn channels that are of opposite polarity to the loudest."""
        keep = np.exp(-seconds / POLARITY_S)
        self._products = keep * self._products + (1 - keep) * products
        power = np.diag(self._products)
        loudest = int(np.argmax(power))
        likeness = self._products[loudest] / np.sqrt(np.maximum(power * power[loudest], FAINT**2))
        signs = np.where(likeness < OPPOSITE, -1.0, 1.0)
        self._signs = signs * self._signs[loudest]
