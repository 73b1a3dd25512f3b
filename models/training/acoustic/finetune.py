"""Fine-tune the encoder for int8, and the head with it, against the original float model.

    python -m models.training.acoustic.finetune --speech .cache/speech

Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531): the teacher is the original model in float over the
whole utterance, the student hears windows of it in simulated int8; the loss is the divergence of their phone
posteriors. Speech needs no transcripts; `speech.toml` beside this file names what the committed weights learned from
and how to get it. Writes encoder.onnx, head.onnx, training.json and training.png.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convert import fetch
from models import manifest
from models.training.acoustic import export, network, speech

FLOOR = -16.0  # log-mel values below carry no speech; cutting them there changes no phone and halves the input step


@dataclass(frozen=True)
class Recipe:
    """Everything that the result depends on."""

    window: int = 480  # log-mel frames a window
    batch: int = 6  # windows a step
    steps: int = 2500
    warmup: int = 100  # steps to the full rates, which a cosine then brings to zero
    weight_rate: float = 1.5e-5  # Adam; 2e-4 was seen to ruin the encoder
    range_rate: float = 2e-4
    head_rate: float = 2e-5
    gradient_norm: float = 1.0
    joined: float = 0.5  # share of windows that run on into the neighbouring utterances
    noisy: float = 0.3  # share of windows with noise added
    snr_db: tuple[float, float] = (5.0, 30.0)
    level: float = 1.5  # log-mel offset, uniform in +-level: the microphone's gain
    edge: tuple[int, int] = (10, 24)  # hidden frames: weight 0 up to the first, 1 from the second, on either side
    seed: int = 4


def frame_weights(count: int, opens: bool, edge: tuple[int, int]) -> NDArray[np.float32]:
    """Weight of each hidden frame in the loss: frames near a cut see too little context to be asked about."""
    distance = np.arange(count, dtype=np.float32)
    ramp = np.clip((distance - edge[0]) / (edge[1] - edge[0]), 0, 1)
    return (ramp[::-1] * (1 if opens else ramp)).astype(np.float32)


def place(corpus: speech.Corpus, recipe: Recipe, random: np.random.Generator) -> tuple[int, int, int, bool]:
    """Where a window's frames come from: first frame, how many, how many of silence before, and whether speech begins.

    All but the last are even, so that posteriors line up with frames.
    """
    begin, end = corpus.draw(random)
    half = recipe.window // 2
    if random.random() < recipe.joined:
        first = int(random.integers(max(0, begin - half), end - 40)) // 2 * 2
        return first, min(recipe.window, int(corpus.ends[-1]) - first), 0, False
    lead = int(random.integers(0, half)) // 2 * 2
    start = begin + int(random.integers(-lead // 2, max(1, (end - begin - half) // 2))) * 2
    first, silence = max(start, begin), max(0, begin - start)
    return first, min(recipe.window - silence, end - first), silence, start <= begin


def draw(corpus: speech.Corpus, recipe: Recipe, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A batch: log-mel [B, 80, W], teacher log posteriors [B, W/2, V], frame weights [B, W/2]."""
    mels, targets, weights = [], [], []
    for _ in range(recipe.batch):
        first, count, silence, opens = place(corpus, recipe, random)
        heard = slice(silence, silence + count)
        halves = slice(silence // 2, (silence + count) // 2)
        window = np.full((corpus.mel.shape[1], recipe.window), FLOOR, np.float32)
        window[:, heard] = corpus.mel[first : first + count].T + random.uniform(-recipe.level, recipe.level)
        target = np.zeros((recipe.window // 2, corpus.posteriors.shape[1]), np.float32)
        target[halves] = corpus.posteriors[first // 2 : (first + count) // 2]
        weight = np.zeros(recipe.window // 2, np.float32)
        weight[halves] = 1
        if random.random() < recipe.noisy:
            noisy = speech.add_noise(window, random.uniform(*recipe.snr_db), random)
            if random.random() < 0.5:  # a noisy recording between silences, as a file is heard
                window[:, heard] = noisy[:, heard]
            else:
                window = noisy
        mels.append(np.maximum(window, FLOOR))
        targets.append(target)
        weights.append(weight * frame_weights(recipe.window // 2, opens, recipe.edge))
    return (
        torch.from_numpy(np.stack(mels)),
        torch.from_numpy(np.stack(targets)),
        torch.from_numpy(np.stack(weights).astype(np.float32)),
    )


def divergence(target: Tensor, guess: Tensor, weight: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of the student from the teacher, nats per weighted frame."""
    return ((target.exp() * (target - guess)).sum(-1) * weight).sum() / weight.sum()


@dataclass
class Curve:
    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)


def train(encoder: network.Encoder, head: network.Head, corpus: speech.Corpus, recipe: Recipe) -> Curve:
    """Runs the recipe in place and returns the loss curve (mean of 25 steps a point)."""
    random = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    with torch.no_grad():
        encoder(torch.cat([draw(corpus, recipe, random)[0] for _ in range(6)]))  # sets the first ranges
    ranges = [p for m in network.activation_ranges(encoder) for p in m.parameters()]
    known = {id(p) for p in ranges}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in encoder.parameters() if id(p) not in known], "rate": recipe.weight_rate},
        {"params": ranges, "rate": recipe.range_rate},
        {"params": list(head.parameters()), "rate": recipe.head_rate},
    ]
    optimiser = torch.optim.Adam(groups)
    curve, recent, began = Curve(), [], time.monotonic()
    for step in range(recipe.steps):
        scale = min(1.0, (step + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
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
            print(
                f"step {step + 1}/{recipe.steps}  divergence {curve.loss[-1]:.4f}  "
                f"{passed:.0f} s of about {passed / (step + 1) * recipe.steps:.0f} s",
                flush=True,
            )
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, default=Path(".cache/speech"), help="a folder for each source")
    parser.add_argument("--out", type=Path, default=Path("models/base"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"), help="teacher's answers are kept here")
    arguments = parser.parse_args()
    recipe = Recipe()
    model = fetch.fetch(manifest.load("base")).read_bytes()
    corpus = speech.Corpus.build(arguments.speech, model, FLOOR, arguments.cache)
    encoder, head = network.load(model)
    torch.set_flush_denormal(True)
    curve = train(encoder, head, corpus, recipe)
    arguments.out.mkdir(parents=True, exist_ok=True)
    export.encoder(encoder, recipe.window, arguments.out / "encoder.onnx")
    export.head(head, recipe.window // 2, arguments.out / "head.onnx")
    report = {"recipe": asdict(recipe), "hours": corpus.hours, "utterances": len(corpus), "curve": asdict(curve)}
    (arguments.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    export.plot(curve.step, curve.loss, arguments.out / "training.png")


if __name__ == "__main__":
    main()
