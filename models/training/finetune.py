"""Fine-tune the encoder for int8, and the head for short windows, against the original float model.

    python -m models.training.finetune --speech DIR [DIR ...] --out models/base

Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531): the teacher is the original model in float over the
whole utterance, the student hears windows of it in simulated int8; the loss is the divergence of their phone
posteriors. Where speech has a transcript, it puts the teacher right (speech.py). `speech.toml` beside this file names
the speech that the committed weights were made from and the commands to get it. Writes encoder.onnx, head.onnx,
training.json and training.png.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device.pronounce import Pronouncer, PronunciationError
from numpy.typing import NDArray
from torch import Tensor

from convert import source
from models import manifest
from models.training import export, network, speech

FLOOR = -16.0  # log-mel values below carry no speech; cutting them there changes no phone and halves the input step


@dataclass(frozen=True)
class Stage:
    """A run of Adam, its rates warmed up linearly and brought to zero by a cosine."""

    steps: int
    warmup: int
    head_rate: float
    corrected: bool  # targets as `speech.corrected` mends them, or the teacher's own
    seed: int


@dataclass(frozen=True)
class Recipe:
    """Everything the result depends on."""

    stages: tuple[Stage, ...] = (
        Stage(steps=1600, warmup=100, head_rate=2e-5, corrected=False, seed=0),
        Stage(steps=1300, warmup=50, head_rate=5e-5, corrected=True, seed=2),
    )
    window: int = 256  # log-mel frames a window
    batch: int = 12  # windows a step
    weight_rate: float = 1.5e-5  # 2e-4 was seen to ruin the encoder
    range_rate: float = 2e-4
    gradient_norm: float = 1.0
    noisy: float = 0.3  # share of windows with noise added
    snr_db: tuple[float, float] = (5.0, 30.0)
    level: float = 1.5  # log-mel offset, uniform in +-level: the microphone's gain
    edge: tuple[int, int] = (10, 24)  # hidden frames: weight 0 up to the first, 1 from the second, on either side


def frame_weights(count: int, opens: bool, edge: tuple[int, int]) -> NDArray[np.float32]:
    """Weight of each hidden frame in the loss: frames near a cut see too little context to be asked about."""
    distance = np.arange(count, dtype=np.float32)
    ramp = np.clip((distance - edge[0]) / (edge[1] - edge[0]), 0, 1)
    return (ramp[::-1] * (1 if opens else ramp)).astype(np.float32)


def draw(corpus: speech.Corpus, recipe: Recipe, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A batch: log-mel [B, 80, W], teacher log posteriors [B, W/2, V], frame weights [B, W/2]."""
    half = recipe.window // 2
    mels, targets, weights = [], [], []
    for _ in range(recipe.batch):
        mel, posteriors = corpus.utterance(random)
        lead = int(random.integers(0, recipe.window // 2)) // 2 * 2  # silence before the utterance
        length = mel.shape[1]
        start = int(random.integers(-lead // 2, max(1, (length - recipe.window // 2) // 2))) * 2
        taken = slice(max(start, 0), min(start + recipe.window, length))
        offset = taken.start - start
        window = np.full((mel.shape[0], recipe.window), FLOOR, np.float32)
        gain = random.uniform(-recipe.level, recipe.level)
        window[:, offset : offset + taken.stop - taken.start] = mel[:, taken] + gain
        target = np.zeros((half, posteriors.shape[1]), np.float32)
        weight = np.zeros(half, np.float32)
        frames = posteriors[taken.start // 2 : (taken.stop + 1) // 2]
        target[offset // 2 : offset // 2 + len(frames)] = frames[: half - offset // 2]
        weight[offset // 2 : offset // 2 + len(frames)] = 1
        weight *= frame_weights(half, start <= 0, recipe.edge)
        if random.random() < recipe.noisy:
            noisy = speech.add_noise(window, random.uniform(*recipe.snr_db), random)
            if random.random() < 0.5:  # a noisy recording between silences, as a file is heard
                heard = slice(offset, offset + taken.stop - taken.start)
                window[:, heard] = noisy[:, heard]
            else:
                window = noisy
        mels.append(np.maximum(window, FLOOR))
        targets.append(target)
        weights.append(weight)
    return torch.from_numpy(np.stack(mels).astype(np.float32)), torch.from_numpy(np.stack(targets)), torch.from_numpy(
        np.stack(weights))


def divergence(target: Tensor, guess: Tensor, weight: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of the student from the teacher, nats per weighted frame."""
    return ((target.exp() * (target - guess)).sum(-1) * weight).sum() / weight.sum()


@dataclass
class Curve:
    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)


def train(encoder: network.Encoder, head: network.Head, corpus: speech.Corpus, recipe: Recipe, stage: Stage) -> Curve:
    """Runs one stage in place and returns its loss curve (mean of 25 steps a point)."""
    random = np.random.default_rng(stage.seed)
    torch.manual_seed(stage.seed)
    with torch.no_grad():
        encoder(torch.cat([draw(corpus, recipe, random)[0] for _ in range(4)]))  # sets the first ranges
    ranges = [p for m in network.activation_ranges(encoder) for p in m.parameters()]
    known = {id(p) for p in ranges}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in encoder.parameters() if id(p) not in known], "rate": recipe.weight_rate},
        {"params": ranges, "rate": recipe.range_rate},
        {"params": list(head.parameters()), "rate": stage.head_rate},
    ]
    optimiser = torch.optim.Adam(groups)
    curve, recent, began = Curve(), [], time.monotonic()
    for step in range(stage.steps):
        scale = min(1.0, (step + 1) / stage.warmup) * 0.5 * (1 + math.cos(math.pi * step / stage.steps))
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * scale + 1e-8
        mel, target, weight = draw(corpus, recipe, random)
        loss = divergence(target, head(encoder(mel)), weight)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], recipe.gradient_norm)
        optimiser.step()
        recent.append(loss.item())
        if len(recent) == 25 or step == 0:
            curve.step.append(step + 1)
            curve.loss.append(sum(recent) / len(recent))
            recent.clear()
            passed = time.monotonic() - began
            print(f"step {step + 1}/{stage.steps}  divergence {curve.loss[-1]:.4f}  "
                  f"{passed:.0f} s of about {passed / (step + 1) * stage.steps:.0f} s", flush=True)
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", nargs="+", type=Path, required=True, help="directories of WAV or FLAC files")
    parser.add_argument("--out", type=Path, default=Path("models/base"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"), help="teacher's answers are kept here")
    arguments = parser.parse_args()
    recipe = Recipe()
    base = manifest.load("base")
    model = source.fetch(base).read_bytes()
    pronouncer = Pronouncer(*(source.fetch(base, role) for role in ("g2p_encoder", "g2p_decoder", "g2p_vocab")))
    index = {token: i for i, token in enumerate(json.loads(source.fetch(base, "g2p_vocab").read_text())["decoder"])}

    @cache
    def pronounce(word: str) -> list[int]:
        try:
            return [index[token] for token in pronouncer(word)]
        except PronunciationError:
            return []

    encoder, head = network.load(model)
    torch.set_flush_denormal(True)
    curves = []
    for stage in recipe.stages:
        lessons = pronounce if stage.corrected else None
        corpus = speech.Corpus.build(arguments.speech, model, lessons, FLOOR, arguments.cache)
        curves.append(train(encoder, head, corpus, recipe, stage))
    arguments.out.mkdir(parents=True, exist_ok=True)
    export.encoder(encoder, recipe.window, arguments.out / "encoder.onnx")
    export.head(head, recipe.window // 2, arguments.out / "head.onnx")
    report = {"recipe": asdict(recipe), "hours": corpus.hours, "utterances": len(corpus),
              "curves": [asdict(c) for c in curves]}
    (arguments.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    export.plot([(c.step, c.loss) for c in curves], arguments.out / "training.png")


if __name__ == "__main__":
    main()
