"""Speech to learn from: log-mel frames and target phone posteriors, computed once and memory-mapped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from onnx import helper

LOG_MEL = "/Slice_1_output_0"  # [1, T, 80] in hama's graph
SECONDS = (0.5, 20.0)  # utterances outside are left out
LEAD = 0.3  # seconds of background that the teacher hears before and after
BOUNDARY, BLANK = 189, 190
NATS = 1.5  # CTC loss for each token, above which a transcript and the teacher are too far apart
TRUST = 0.7  # weight of the posterior given the transcript

Pronounce = Callable[[str], list[int]]
"""A word's token indices; empty when it has none."""


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
    def build(cls, folders: list[Path], model: bytes, pronounce: Pronounce | None, floor: float, cache: Path) -> Corpus:
        """Runs the teacher over every WAV and FLAC file below `folders`, or reads what an earlier run kept.

        With `pronounce` it is padded and put right by transcripts; without, its answers are taken as they are.
        """
        files = sorted(f for d in folders for f in d.rglob("*") if f.suffix.lower() in (".wav", ".flac"))
        if not files:
            raise SystemExit(f"no WAV or FLAC file below {', '.join(map(str, folders))}: see speech.toml")
        listing = "\n".join(f"{f.name} {f.stat().st_size}" for f in files)
        code = Path(__file__).read_bytes() + bytes([pronounce is not None])
        key = hashlib.sha256(model + code + listing.encode()).hexdigest()[:16]
        kept = cache / key
        if not (kept / "lengths.npy").exists():
            kept.mkdir(parents=True, exist_ok=True)
            lessons = teach(files, model, {k: v for d in folders for k, v in transcripts(d).items()}, pronounce, floor)
            mels, posteriors = zip(*lessons, strict=True)
            np.save(kept / "mel.npy", np.concatenate(mels, 1))
            np.save(kept / "posteriors.npy", np.concatenate(posteriors))
            np.save(kept / "lengths.npy", np.array([m.shape[1] for m in mels]))
        return cls(*(np.load(kept / f"{n}.npy", mmap_mode="r") for n in ("mel", "posteriors", "lengths")))


def transcripts(folder: Path) -> dict[str, str]:
    """What is said in a recording, by its stem: from Kaldi `text` tables and from text files beside the recordings."""
    said = {f.stem: f.read_text() for f in folder.rglob("*.txt") if f.with_suffix(".wav").exists()}
    for table in folder.rglob("text"):
        said |= dict(line.split(maxsplit=1) for line in table.read_text().splitlines() if len(line.split()) > 1)
    return said


def spell(text: str, pronounce: Pronounce) -> list[int]:
    """The tokens of a transcript, words apart by the boundary token; empty if a word cannot be pronounced."""
    tokens: list[int] = []
    for word in re.sub(r"[^a-z' ]+", " ", text.lower().replace("-", " ")).split():
        spelling = pronounce(word)
        if not spelling:
            return []
        tokens += [BOUNDARY] * bool(tokens) + spelling
    return tokens


def teach(files: list[Path], model: bytes, said: Mapping[str, str], pronounce: Pronounce | None,
          floor: float) -> list[tuple[NDArray[np.float16], NDArray[np.float16]]]:
    """Log-mel [80, T] and target log posteriors [(T + 1) // 2, V] of each file, whole utterances.

    The teacher loses the first phones of a clip that starts at once, so with `pronounce` it hears `LEAD` seconds of
    the clip's own background before and after, which are cut off again.
    """
    proto = onnx.load_model_from_string(model)
    proto.graph.output.append(helper.make_tensor_value_info(LOG_MEL, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    lessons = []
    for index, file in enumerate(files):
        if index % 200 == 0:
            print(f"teacher: {index}/{len(files)} files", flush=True)
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        waveform = soxr.resample(samples.mean(1), rate, 16_000).astype(np.float32)
        if not SECONDS[0] <= len(waveform) / 16_000 <= SECONDS[1]:
            continue
        frames, lead = len(waveform) // 160 + 1, round(LEAD * 100) if pronounce else 0
        random = np.random.default_rng(index)
        level = np.percentile(np.sqrt((waveform[: len(waveform) // 400 * 400].reshape(-1, 400) ** 2).mean(1)), 5)
        before, after = random.normal(0, max(level, 1e-5), (2, lead * 160)).astype(np.float32)
        padded = np.concatenate([before, waveform, after])
        feeds = {"waveform": padded[None], "waveform_lengths": np.array([len(padded)], np.int64)}
        log_probs, log_mel = session.run(["log_probs", LOG_MEL], feeds)
        mel = np.maximum(log_mel[0, lead : lead + frames].T, floor)
        target = log_probs[0, lead // 2 : lead // 2 + (frames + 1) // 2]
        if pronounce:
            target = corrected(target, spell(said.get(file.stem, ""), pronounce))
        lessons.append((mel.astype(np.float16), target.astype(np.float16)))
    return lessons


def corrected(log_probs: NDArray[np.float32], tokens: list[int]) -> NDArray[np.float32]:
    """Teacher's log posteriors [T, V], put right where a transcript is known and the teacher nearly follows it.

    The CTC loss's gradient by the logits is the posterior minus the posterior given the transcript (Graves et al.
    2006, eq. 16), so the latter, which knows what was said and when, comes out of one backward pass.
    """
    if not tokens or len(tokens) > len(log_probs):
        return log_probs
    logits = torch.from_numpy(log_probs.copy()).requires_grad_()
    scores = torch.log_softmax(logits, -1)
    loss = torch.nn.functional.ctc_loss(scores[:, None], torch.tensor([tokens]), torch.tensor([len(log_probs)]),
                                        torch.tensor([len(tokens)]), blank=BLANK, reduction="sum")
    if not loss.item() / len(tokens) < NATS:
        return log_probs
    torch.autograd.backward(loss)
    assert logits.grad is not None
    posterior = scores.detach().exp().numpy()
    given = np.maximum(posterior - logits.grad.numpy(), 0)
    given /= given.sum(1, keepdims=True)
    mixed: NDArray[np.float32] = np.log(TRUST * given + (1 - TRUST) * posterior + 1e-7)
    return mixed


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
