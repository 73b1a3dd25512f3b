"""Speech to check a build with: recordings to log-mel frames, frames to windows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import SourceError
from models.bundle import FrontEnd, Window

Float = NDArray[np.float32]
AUDIO = (".wav", ".flac", ".ogg", ".mp3")
TRANSCRIPTS = "transcripts.tsv"  # file<TAB>text, as `dictate eval` reads it
TESTDATA = Path("/usr/share/pocketsphinx/test/data")


@dataclass(frozen=True)
class Speech:
    """Recordings that a build is checked with, and what they are, for the report; `folder` is None without any."""

    folder: Path | None
    source: str


def gather(out: Path, testdata: Path = TESTDATA) -> Speech:
    """Copies the recordings that are installed, with their transcripts.tsv, into `out`.

    Speech that espeak-ng makes is no substitute: the float32 model itself gets half of its words wrong.
    """
    clips = testdata / "librivox"
    if not (clips / "transcription").is_file():
        return Speech(None, "the committed log-mel windows (install pocketsphinx-testdata to check words too)")
    lines = []
    for line in (clips / "transcription").read_text().splitlines():
        text, _, name = line.rpartition(" ")
        name = name.strip("()")
        shutil.copyfile(clips / f"{name}.wav", out / f"{name}.wav")
        lines.append(f"{name}.wav\t{text.replace('<s>', '').replace('</s>', '').strip()}")
    (out / TRANSCRIPTS).write_text("\n".join(lines) + "\n")
    return Speech(out, f"{len(lines)} LibriVox clips of Debian's pocketsphinx-testdata")


def given(folder: Path) -> Speech:
    """Recordings that the user brings, with transcripts.tsv; SourceError when that is missing."""
    if not (folder / TRANSCRIPTS).is_file():
        raise SourceError(f"{folder}: no {TRANSCRIPTS} in it; write one line for each recording: file<TAB>text")
    return Speech(folder, f"{len(recordings(folder))} recordings in {folder}")


def recordings(folder: Path) -> list[Path]:
    """The audio files below `folder`, sorted; SourceError when there are none."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such directory; give one with recordings of speech")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in AUDIO)
    if not files:
        raise SourceError(f"{folder}: no recordings ({', '.join(AUDIO)}) in it")
    return files


def read(path: Path, rate: int) -> Float:
    """A recording as mono float32 samples in [-1, 1) at `rate`; SourceError when it cannot be read."""
    import soundfile
    import soxr

    try:
        samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise SourceError(f"{path}: cannot be read as audio ({error})") from None
    mono: Float = samples.mean(1, dtype=np.float32)
    return mono if own == rate else soxr.resample(mono, own, rate).astype(np.float32)


def log_mel(samples: Float, front_end: FrontEnd, dft: Float, mel: Float) -> Float:
    """All log-mel frames [T, mels] of `samples`, as the model's front end computes them, before the feature floor."""
    x = samples
    if front_end.preemphasis:
        x = np.concatenate([x[:1], x[1:] - front_end.preemphasis * x[:-1]])
    if front_end.center:
        half = front_end.fft // 2
        x = np.pad(np.pad(x, (0, max(0, half + 1 - len(x)))), half, mode="reflect")
    x = np.pad(x, (0, max(0, front_end.fft - len(x))))
    framed = np.lib.stride_tricks.sliding_window_view(x, front_end.fft)[:: front_end.hop]
    real, imaginary = np.split(np.ascontiguousarray(framed) @ dft.T, 2, axis=1)
    power = real * real + imaginary * imaginary
    frames: Float = np.log(np.maximum(power @ mel, np.float32(front_end.log_floor)))
    return frames


def normalised(frames: Float, front_end: FrontEnd) -> Float:
    """Log-mel frames as they enter the encoder: floor, mean and scale."""
    floored = np.maximum(frames, front_end.feature_floor)
    return ((floored - front_end.mean) / front_end.scale).astype(np.float32)


def windows(frames: Float, window: Window, silence: float) -> Iterator[tuple[Float, slice]]:
    """Cuts [T, mels] into windows [frames, mels], each with the slice of its posteriors that are new."""
    total = len(frames) + -len(frames) % window.stride
    for done in range(0, total, window.hop):
        new = min(window.hop, total - done)
        end = done + new + window.right
        start = end - window.frames
        piece = np.full((window.frames, frames.shape[1]), silence, np.float32)
        taken = frames[max(start, 0) : min(end, len(frames))]
        piece[max(-start, 0) : max(-start, 0) + len(taken)] = taken
        first = (window.frames - window.right - new) // window.stride
        yield piece, slice(first, first + new // window.stride)
