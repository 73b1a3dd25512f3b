"""Recordings for the virtual microphone: 16 kHz mono WAV, with the silence around it that snd-aloop needs.

The loopback drops the last period when its player closes, so a recording must end in silence; and the appliance hears
from 0.3 s before the press, so it begins in silence.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from pathlib import Path

RATE = 16_000
BEFORE_S, AFTER_S = 0.3, 0.8


def padded(recording: Path, before_s: float = BEFORE_S, after_s: float = AFTER_S) -> bytes:
    """A WAV file, as bytes, of `recording` between two silences. Raises ValueError for another format."""
    return wav(silence(before_s) + samples(recording) + silence(after_s))


def joined(recordings: Sequence[Path], pause_s: float) -> bytes:
    """A WAV file of several recordings with pauses between them, and silence around."""
    parts = [samples(recording) + silence(pause_s) for recording in recordings]
    return wav(silence(BEFORE_S) + b"".join(parts) + silence(AFTER_S))


def silence(seconds: float) -> bytes:
    """Samples of nothing."""
    return bytes(2 * round(seconds * RATE))


def samples(recording: Path) -> bytes:
    """The samples of a WAV file. Raises ValueError unless it is 16-bit mono at 16 kHz."""
    with wave.open(str(recording)) as source:
        if (source.getnchannels(), source.getsampwidth(), source.getframerate()) != (1, 2, RATE):
            raise ValueError(f"{recording}: not 16-bit mono at {RATE} Hz; convert it: sox IN -r 16000 -c 1 -b 16 OUT")
        return bytes(source.readframes(source.getnframes()))


def wav(content: bytes) -> bytes:
    """16-bit little-endian mono samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(RATE)
        target.writeframes(content)
    return file.getvalue()


def seconds(data: bytes) -> float:
    """How long a WAV file lasts."""
    with wave.open(io.BytesIO(data)) as source:
        return float(source.getnframes() / source.getframerate())
