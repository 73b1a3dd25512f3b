"""Reads the source's encoder, proves its float form and folds its layers into pieces, with calibration speech."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from convert.errors import GraphError
from convert.onnx import graph, runtime
from convert.quality.recordings import read
from convert.transformer import ort_format, recipe, weights
from convert.transformer.weights import Encoder
from models import moonshine
from models.manifest import TransformerManifest

Float = NDArray[np.float32]
SAME = 1e-3  # largest difference between our float encoder and the source's graph, in values of up to about 10
WINDOWS = 2  # that the converter looks at; all ranges but LOGISTIC's fixed one are known


def fold(source: Path, recordings: Iterable[Path], chosen: TransformerManifest, out: Path) -> None:
    """Writes encoder.npz (models.moonshine.Weights), and for each piece NAME.onnx and NAME.npz.

    NAME.npz holds what recipe.Folded has beside the graph, and `windows` [WINDOWS, frames, in] of its input.
    """
    plain = ort_format.dequantized(ort_format.load(source))
    encoder = weights.read(plain, chosen.encoder.heads)
    heard = list(cut(recordings, chosen.calibration.seconds))
    require_same(encoder, plain, heard[0])
    encoder.weights.save(out / "encoder.npz")
    inputs = activations(encoder, heard)
    for name, layer in encoder.pieces.items():
        folded = recipe.fold(layer, inputs[name], chosen.pieces)
        graph.save(folded.model, out / f"{name}.onnx")
        frames = np.resize(inputs[name] / folded.divisor, (WINDOWS, chosen.pieces.frames, len(folded.divisor)))
        np.savez(out / f"{name}.npz", windows=frames, divisor=folded.divisor, scale=folded.scale, offset=folded.offset)


def cut(recordings: Iterable[Path], seconds: float) -> Iterator[Float]:
    """The recordings in segments of at most `seconds`, without what is left over below a second."""
    length = int(seconds * moonshine.SAMPLE_RATE)
    for path in recordings:
        samples = read(path, moonshine.SAMPLE_RATE)
        for start in range(0, len(samples), length):
            if len(samples) - start >= moonshine.SAMPLE_RATE:
                yield samples[start : start + length]


def activations(encoder: Encoder, heard: Iterable[Float]) -> dict[str, Float]:
    """What enters each piece [N, in], over all frames of the segments."""
    seen: dict[str, list[Float]] = {}

    def linear(name: str, x: Float) -> Float:
        seen.setdefault(name, []).append(x)
        return encoder.linear(name, x)

    for samples in heard:
        encoder(samples, linear)
    return {name: np.concatenate(parts) for name, parts in seen.items()}


def require_same(encoder: Encoder, plain: ModelProto, samples: Float) -> None:
    """GraphError unless the float encoder answers as the source's graph does."""
    session = runtime.session(plain.SerializeToString())
    values = (samples[None], np.ones((1, len(samples)), np.int64))
    feeds = {tensor.name: value for tensor, value in zip(session.get_inputs(), values, strict=True)}
    (expected,) = session.run(None, feeds)
    answer = encoder(samples)
    error = float(np.abs(answer - expected[0]).max()) if answer.shape == expected[0].shape else float("inf")
    if not error <= SAME:  # nor with NaN
        raise GraphError(
            f"the source's encoder answers otherwise than its weights in our float encoder (by up to {error:.2g}); "
            "it is another network than models/moonshine.py computes"
        )
