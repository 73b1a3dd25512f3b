"""Speech to learn from: log-mel frames and the teacher's phone posteriors, computed once and memory-mapped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
import soxr
from numpy.typing import NDArray
from onnx import helper

LOG_MEL = "/Slice_1_output_0"  # [1, T, 80] in hama's graph
SECONDS = (0.5, 20.0)  # utterances outside are left out


@dataclass(frozen=True)
class Corpus:
    """Utterances as slices of two long arrays: `mel` [80, sum T] and `posteriors` [sum (T+1)//2, V], float16."""

    mel: NDArray[np.float16]
    posteriors: NDArray[np.float16]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def hours(self) -> float:
        return float(self.lengths.sum()) / 360_000

    def utterance(self, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One utterance, drawn in proportion to its length: log-mel [80, T], log posteriors [(T+1)//2, V]."""
        ends = np.cumsum(self.lengths)
        index = int(np.searchsorted(ends, random.integers(int(ends[-1])), side="right"))
        stop, halves = int(ends[index]), np.cumsum((self.lengths + 1) // 2)
        mel = self.mel[:, stop - int(self.lengths[index]) : stop]
        first = int(halves[index - 1]) if index else 0
        return mel.astype(np.float32), self.posteriors[first : int(halves[index])].astype(np.float32)

    @classmethod
    def build(cls, folders: list[Path], model: bytes, floor: float, cache: Path) -> Corpus:
        """Runs the teacher over every WAV and FLAC file below `folders`, or reads what an earlier run kept."""
        files = sorted(f for d in folders for f in d.rglob("*") if f.suffix.lower() in (".wav", ".flac"))
        if not files:
            raise SystemExit(f"no WAV or FLAC file below {', '.join(map(str, folders))}: see speech.toml")
        key = hashlib.sha256(model + "\n".join(f"{f.name} {f.stat().st_size}" for f in files).encode()).hexdigest()[:16]
        kept = cache / key
        if not (kept / "lengths.npy").exists():
            kept.mkdir(parents=True, exist_ok=True)
            mels, posteriors = zip(*teach(files, model, floor), strict=True)
            np.save(kept / "mel.npy", np.concatenate(mels, 1))
            np.save(kept / "posteriors.npy", np.concatenate(posteriors))
            np.save(kept / "lengths.npy", np.array([m.shape[1] for m in mels]))
        return cls(*(np.load(kept / f"{n}.npy", mmap_mode="r") for n in ("mel", "posteriors", "lengths")))


def teach(files: list[Path], model: bytes, floor: float) -> list[tuple[NDArray[np.float16], NDArray[np.float16]]]:
    """The original float model's log-mel [80, T] and log posteriors [(T+1)//2, V] of each file, whole utterances."""
    proto = onnx.load_model_from_string(model)
    proto.graph.output.append(helper.make_tensor_value_info(LOG_MEL, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    answers = []
    for index, file in enumerate(files):
        if index % 200 == 0:
            print(f"teacher: {index}/{len(files)} files", flush=True)
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        waveform = soxr.resample(samples.mean(1), rate, 16_000).astype(np.float32)
        if not SECONDS[0] <= len(waveform) / 16_000 <= SECONDS[1]:
            continue
        feeds = {"waveform": waveform[None], "waveform_lengths": np.array([len(waveform)], np.int64)}
        log_probs, log_mel = session.run(["log_probs", LOG_MEL], feeds)
        answers.append((np.maximum(log_mel[0].T, floor).astype(np.float16), log_probs[0].astype(np.float16)))
    return answers


def add_noise(mel: NDArray[np.float32], snr_db: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Adds stationary coloured noise to log-mel [80, T] in the power domain, at `snr_db` below the window's mean power.

    Powers of speech and independent noise add in expectation; the chi-square spread of a periodogram bin, averaged
    over a mel filter, is imitated by a log-normal of 0.5.
    """
    bands = np.linspace(0, 1, mel.shape[0], dtype=np.float32)[:, None]
    tilt, bump, place = random.uniform(-5, 1), random.uniform(-2, 2), random.uniform(0, 1)
    colour = tilt * bands + bump * np.exp(-((bands - place) ** 2) / 0.02)
    noise = colour + 0.5 * random.standard_normal(mel.shape).astype(np.float32)
    gain = np.log(np.exp(mel).mean() / np.exp(noise).mean()) - snr_db * np.log(10) / 10
    return np.logaddexp(mel, noise + gain).astype(np.float32)
