"""Sounds without a word, such as a microphone hears; int16 [n] at 16 kHz, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Sound = NDArray[np.float64]


def _white(random: np.random.Generator, n: int) -> Sound:
    return random.standard_normal(n)


def _coloured(random: np.random.Generator, n: int, slope: float, low: float = 20.0, high: float = 8_000.0) -> Sound:
    """Noise whose power falls by frequency ** -slope, between two frequencies."""
    frequencies = np.fft.rfftfreq(n, 1 / RATE)
    weight = np.where((frequencies >= low) & (frequencies <= high), np.maximum(frequencies, 1.0) ** (-slope / 2), 0.0)
    return np.fft.irfft(np.fft.rfft(random.standard_normal(n)) * weight, n)


def _hum(n: int, base: float) -> Sound:
    at = np.arange(n) / RATE
    return sum((np.sin(2 * np.pi * base * k * at) / k for k in (1, 2, 3, 5, 7)), np.zeros(n))


def _bursts(random: np.random.Generator, n: int, each_s: float, length_s: float, decay: float) -> Sound:
    """Short noises with a sharp beginning, irregular in time and strength: keys, clicks, knocks."""
    sound, at = np.zeros(n), 0.0
    while (first := round(at * RATE)) < n:
        size = min(n - first, round(length_s * RATE))
        burst = random.standard_normal(size) * np.exp(-np.arange(size) / (decay * RATE))
        sound[first : first + size] += burst * random.uniform(0.3, 1.0)
        at += each_s * random.uniform(0.4, 2.0)
    return sound


def _breath(random: np.random.Generator, n: int) -> Sound:
    at = np.arange(n) / RATE
    return _coloured(random, n, 1.0, 200, 4_000) * np.maximum(0, np.sin(2 * np.pi * at / 3.5)) ** 2


def _music(random: np.random.Generator, n: int) -> Sound:
    """Chords of plucked strings, four a second."""
    sound, step = np.zeros(n), RATE // 4
    for first in range(0, n, step):
        at = np.arange(min(n - first, 2 * step)) / RATE
        for note in random.choice(np.array([0, 3, 5, 7, 10, 12, 15, 19]), 3, replace=False):
            tone = 220 * 2 ** (note / 12)
            sound[first : first + len(at)] += np.exp(-4 * at) * sum(
                np.sin(2 * np.pi * tone * k * at) / k for k in range(1, 6)
            )
    return sound


def _beeps(n: int) -> Sound:
    at = np.arange(n) / RATE
    return np.sin(2 * np.pi * 1_000 * at) * (at % 1.0 < 0.2)


def _wind(random: np.random.Generator, n: int) -> Sound:
    at = np.arange(n) / RATE
    return _coloured(random, n, 2.0, 20, 600) * (1 + 0.8 * np.sin(2 * np.pi * at / 2.3) * np.sin(2 * np.pi * at / 5.1))


def _sweep(n: int) -> Sound:
    at = np.arange(n) / RATE
    return np.sin(2 * np.pi * (100 * at + 150 * (at % 10) ** 2))


KINDS: dict[str, tuple[float, Callable[[np.random.Generator, int], Sound]]] = {  # RMS, how it is made
    "digital zero": (0, lambda random, n: np.zeros(n)),
    "one bit": (1, _white),
    "faint hiss": (30, _white),
    "hiss": (300, _white),
    "loud hiss": (3_000, _white),
    "pink noise": (1_000, lambda random, n: _coloured(random, n, 1.0)),
    "rumble": (2_000, lambda random, n: _coloured(random, n, 2.0, 20, 150)),
    "wind": (2_000, _wind),
    "hum, 50 Hz": (1_000, lambda random, n: _hum(n, 50.0)),
    "hum, 60 Hz": (3_000, lambda random, n: _hum(n, 60.0)),
    "typing": (800, lambda random, n: _bursts(random, n, 0.15, 0.03, 0.004)),
    "clicks": (500, lambda random, n: _bursts(random, n, 0.7, 0.004, 0.0008)),
    "knocks": (1_500, lambda random, n: _bursts(random, n, 0.8, 0.2, 0.03)),
    "breath": (600, _breath),
    "music": (2_000, _music),
    "beeps": (2_000, lambda random, n: _beeps(n)),
    "a rising tone": (2_000, lambda random, n: _sweep(n)),
}


def noise(kind: str, seconds: float, seed: int = 0) -> NDArray[np.int16]:
    """So many seconds of one of KINDS."""
    level, make = KINDS[kind]
    sound = make(np.random.default_rng(seed), round(seconds * RATE))
    power = float(np.sqrt(np.mean(np.square(sound))))
    scaled = sound * (level / power if power else 0.0)
    return np.clip(np.rint(scaled), -32_768, 32_767).astype(np.int16)
