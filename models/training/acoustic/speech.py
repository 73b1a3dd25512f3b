"""Speech to learn from: log-mel frames and the teacher's phone posteriors, computed once and memory-mapped."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from convert.quality.recordings import read

LOG_MEL = "/Slice_1_output_0"  # [1, T, 80] in hama's graph
SECONDS = (0.5, 20.0)  # utterances outside are left out
LEAD = 0.3  # seconds of background that the teacher hears before and after
SOURCES = Path(__file__).with_name("speech.toml")


@dataclass(frozen=True)
class Source:
    """A corpus: its folder's name, and how often its frames are drawn against those of the others."""

    name: str
    weight: float


def sources() -> list[Source]:
    """The corpora that speech.toml names."""
    return [Source(s["name"], s["weight"]) for s in tomllib.loads(SOURCES.read_text())["source"]]


@dataclass(frozen=True)
class Corpus:
    """All utterances in a row: log-mel [N, 80] and log posteriors [N / 2, V], float16, each of an even length."""

    mel: NDArray[np.float16]
    posteriors: NDArray[np.float16]
    ends: NDArray[np.int64]  # [utterances]: where each ends in `mel`
    chances: NDArray[np.float64]  # [utterances]: cumulated probability of being drawn

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def hours(self) -> float:
        return float(self.ends[-1]) / 360_000

    def draw(self, random: np.random.Generator) -> tuple[int, int]:
        """First and last frame of an utterance, drawn in proportion to its length and its source's weight."""
        index = int(np.searchsorted(self.chances, random.random(), side="right"))
        return int(self.ends[index - 1]) if index else 0, int(self.ends[index])

    @classmethod
    def build(cls, folder: Path, model: bytes, floor: float, cache: Path) -> Corpus:
        """Runs the teacher over every WAV and FLAC file of the sources in `folder`, or reads what a run before kept."""
        files = [(source, file) for source in sources() for file in recordings(folder / source.name)]
        listing = "\n".join(f"{file.name} {file.stat().st_size}" for _, file in files)
        key = hashlib.sha256(model + Path(__file__).read_bytes() + listing.encode()).hexdigest()[:16]
        kept = cache / key
        if not (kept / "weights.npy").exists():
            kept.mkdir(parents=True, exist_ok=True)
            mels, posteriors, weights = zip(*teach(files, model, floor), strict=True)
            np.save(kept / "mel.npy", np.concatenate(mels))
            np.save(kept / "posteriors.npy", np.concatenate(posteriors))
            np.save(kept / "lengths.npy", np.array([len(m) for m in mels]))
            np.save(kept / "weights.npy", np.array(weights))
        mel, given, lengths, weights_ = (
            np.load(kept / f"{name}.npy", mmap_mode="r") for name in ("mel", "posteriors", "lengths", "weights")
        )
        chances = np.cumsum(lengths * weights_)
        return cls(mel, given, np.cumsum(lengths), chances / chances[-1])


def recordings(folder: Path) -> list[Path]:
    """The WAV and FLAC files below `folder`, in an order that keeps a speaker's together."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in (".wav", ".flac"))
    if not files:
        raise SystemExit(f"{folder}: no WAV or FLAC file; {SOURCES.name} says where the speech comes from")
    return files


Lesson = tuple[NDArray[np.float16], NDArray[np.float16], float]


def teach(files: list[tuple[Source, Path]], model: bytes, floor: float) -> Iterator[Lesson]:
    """Log-mel [T, 80], the teacher's log posteriors [T / 2, V] and the weight of each file, whole utterances.

    The teacher loses the first phones of a clip that starts at once, so it hears `LEAD` seconds of the clip's own
    background before and after, which are cut off again.
    """
    proto = onnx.load_model_from_string(model)
    proto.graph.output.append(helper.make_tensor_value_info(LOG_MEL, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    lead = round(LEAD * 100)
    for index, (source, file) in enumerate(files):
        if index % 200 == 0:
            print(f"teacher: {index}/{len(files)} files", flush=True)
        waveform = read(file, 16_000)
        if not SECONDS[0] <= len(waveform) / 16_000 <= SECONDS[1]:
            continue
        random, even = np.random.default_rng(index), (len(waveform) // 160 + 1) // 2 * 2
        level = np.percentile(np.sqrt((waveform[: len(waveform) // 400 * 400].reshape(-1, 400) ** 2).mean(1)), 5)
        before, after = random.normal(0, max(level, 1e-5), (2, lead * 160)).astype(np.float32)
        padded = np.concatenate([before, waveform, after])
        feeds = {"waveform": padded[None], "waveform_lengths": np.array([len(padded)], np.int64)}
        log_probs, log_mel = session.run(["log_probs", LOG_MEL], feeds)
        mel = np.maximum(log_mel[0, lead : lead + even], floor).astype(np.float16)
        yield mel, log_probs[0, lead // 2 : (lead + even) // 2].astype(np.float16), source.weight


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
    mixed: NDArray[np.float32] = np.logaddexp(mel, noise + gain).astype(np.float32)
    return mixed
