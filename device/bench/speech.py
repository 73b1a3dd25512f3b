"""The speech that all configurations hear, decoded once."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from device.audio.chunk import SAMPLE_RATE
from device.audio.file import WaveFile
from device.bench.evaluation import TRANSCRIPTS, read_transcripts
from models.errors import UserError

TESTDATA = Path("/usr/share/pocketsphinx/test/data/librivox")
AUDIO = {".wav", ".flac", ".ogg", ".mp3"}


class SpeechError(UserError):
    """There is no speech; the message says how to get some."""


@dataclass(frozen=True)
class Speech:
    """Recordings, and what is said in them where that is known."""

    source: str
    files: tuple[Path, ...]
    texts: tuple[str, ...] | None

    @property
    def seconds(self) -> float:
        return sum(_seconds(file) for file in self.files)

    def at(self, rate: int, out: Path) -> Speech:
        """The same, resampled to `rate` into the folder `out`; same files where that is what they have."""
        if rate == SAMPLE_RATE:
            return self
        out.mkdir(exist_ok=True)
        files = []
        for file in self.files:
            with wave.open(str(file)) as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
            files.append(_written(out / file.name, soxr.resample(samples, SAMPLE_RATE, rate), rate))
        return Speech(self.source, tuple(files), self.texts)


def gather(named: Sequence[Path], out: Path, testdata: Path = TESTDATA) -> Speech:
    """Decodes `named`, recordings or folders of them, into `out` as WAV of 16 kHz; Debian's test data if none is named.

    Transcripts are known if every folder has a transcripts.tsv, as `dictate eval` reads it. Raises SpeechError,
    device.audio.decode.AudioError or device.bench.evaluation.EvalError.
    """
    pairs = [pair for place in named for pair in _listed(place)] if named else _debian(testdata)
    files = tuple(_decoded(file, out / f"{number:04}.wav") for number, (file, _) in enumerate(pairs))
    if not any(_seconds(file) for file in files):
        raise SpeechError("no speech; name recordings, or folders of them, with --speech")
    texts = [text for _, text in pairs]
    known = tuple(text for text in texts if text is not None)
    source = ", ".join(map(str, named)) or f"{len(pairs)} LibriVox clips of Debian's pocketsphinx-testdata"
    return Speech(source, files, known if len(known) == len(texts) else None)


def _listed(place: Path) -> list[tuple[Path, str | None]]:
    if not place.is_dir():
        return [(place, None)]
    if (place / TRANSCRIPTS).is_file():
        return [(file, text) for file, text in read_transcripts(place) if text]
    files = sorted(file for file in place.rglob("*") if file.suffix.lower() in AUDIO)
    if not files:
        raise SpeechError(f"{place}: no recordings in it (WAV, FLAC, OGG, MP3); name another folder")
    return [(file, None) for file in files]


def _debian(testdata: Path) -> list[tuple[Path, str | None]]:
    try:
        lines = (testdata / "transcription").read_text(encoding="utf-8").splitlines()
    except OSError:
        raise SpeechError(
            "no recordings; name some with --speech, or run: sudo apt-get install pocketsphinx-testdata"
        ) from None
    pairs: list[tuple[Path, str | None]] = []
    for line in lines:
        text, _, name = line.rpartition(" ")
        pairs.append((testdata / f"{name.strip('()')}.wav", text.replace("<s>", "").replace("</s>", "").strip()))
    return pairs


def _decoded(file: Path, out: Path) -> Path:
    blocks = [chunk.samples for chunk in WaveFile(file)]
    return _written(out, np.concatenate([np.zeros(0, np.int16), *blocks]), SAMPLE_RATE)


def _written(out: Path, samples: NDArray[np.int16], rate: int) -> Path:
    with wave.open(str(out), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())
    return out


def _seconds(file: Path) -> float:
    with wave.open(str(file)) as sound:
        return float(sound.getnframes() / sound.getframerate())
