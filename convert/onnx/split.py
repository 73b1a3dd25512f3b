"""Cuts a model in three: the front end as arrays, the encoder for the Edge TPU, the head for the CPU.

In the split directory: `encoder.onnx` log_mel [1, mels, frames] -> hidden [1, C, frames / stride], `head.onnx` hidden
-> log_probs [1, frames / stride, tokens], both float32, with static shapes unless a trained head takes WANTED;
`front_end.npz` with dft [2 * bins, fft] and mel [bins, mels], bins = fft // 2 + 1; where the manifest brings trained
weights, also the source's own `source_encoder.onnx` and `source_head.onnx`, which verify compares with. The source's
two parts, one after the other, are run beside the source's whole graph and must answer alike.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
from onnx import ModelProto

from convert.errors import GraphError
from convert.fetch import check
from convert.onnx import graph, runtime
from convert.onnx.front_end import arrays
from models.bundle import WANTED
from models.manifest import Manifest

LOG_MEL, HIDDEN, LOG_PROBS = "log_mel", "hidden", "log_probs"
SAME = 1e-3  # largest difference between parts and whole, as a share of the largest value; float32 alone gives 1e-6


def split(model: Path, manifest: Manifest, out: Path) -> None:
    """Writes the parts of `model` to `out`; SourceError or GraphError when the manifest does not fit the model."""
    source = graph.float32(graph.load(model))
    dft, mel = arrays(manifest, graph.tensors(source))
    packed = io.BytesIO()  # in memory: on a full disk, a zip file that cannot be closed complains later
    np.savez(packed, dft=dft, mel=mel)
    (out / "front_end.npz").write_bytes(packed.getvalue())
    trained = manifest.trained
    prefix = "source_" if trained else ""
    encoder, head = cut(source, manifest)
    graph.save(encoder, out / f"{prefix}encoder.onnx")
    graph.save(head, out / f"{prefix}head.onnx")
    if trained:
        for role, name, digest in (
            ("encoder", trained.encoder, trained.encoder_sha256),
            ("head", trained.head, trained.head_sha256),
        ):
            own = graph.load(check(manifest.file(name), digest, manifest))
            _same_contract(own, encoder if role == "encoder" else head, manifest.file(name))
            shutil.copyfile(manifest.file(name), out / f"{role}.onnx")


def cut(source: ModelProto, manifest: Manifest) -> tuple[ModelProto, ModelProto]:
    """Encoder and head of the source graph for windows of the manifest's length."""
    names, front_end, frames = manifest.cut, manifest.front_end, manifest.window.frames
    for key in ("log_mel", "hidden", "output"):
        graph.require(source, getattr(names, key), f"cut.{key}")
    encoder = graph.simplify(graph.extract(source, {names.log_mel: (1, front_end.mels, frames)}, names.hidden))
    hidden = graph.shapes(encoder)[names.hidden]
    if len(hidden) != 3 or hidden[2] != frames // manifest.window.stride:
        raise GraphError(
            f"cut.hidden {names.hidden!r} has shape {list(hidden)}, but [1, C, {frames} / "
            f"{manifest.window.stride}] is needed; check the manifest's cut and window.stride"
        )
    if hidden[1] == hidden[2]:
        raise GraphError(
            f"cut.hidden {names.hidden!r} has as many channels as frames, {hidden[1]}, and onnx2tf would "
            "confuse them; choose another window.frames"
        )
    length = {names.lengths: np.array([frames * front_end.hop], np.int64)} if names.lengths else {}
    static = [d for d in hidden if d is not None]
    head = graph.simplify(graph.extract(source, {names.hidden: static}, names.output, length))
    whole = graph.extract(source, {names.log_mel: (1, front_end.mels, frames)}, names.output, length)
    _check_same(whole, encoder, head)
    return (
        graph.rename(encoder, {names.log_mel: LOG_MEL, names.hidden: HIDDEN}),
        graph.rename(head, {names.hidden: HIDDEN, names.output: LOG_PROBS}),
    )


def _check_same(whole: ModelProto, encoder: ModelProto, head: ModelProto) -> None:
    """GraphError unless `head` after `encoder` answers as `whole`, the source's graph from the same input."""
    _, mels, frames = (d.dim_value for d in encoder.graph.input[0].type.tensor_type.shape.dim)
    x = np.random.default_rng(0).standard_normal((1, mels, frames)).astype(np.float32)
    try:
        source, first, second = (runtime.session(model.SerializeToString()) for model in (whole, encoder, head))
        (expected,) = runtime.run(source, x)
        (answer,) = runtime.run(second, runtime.run(first, x)[0])
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        raise GraphError(
            f"the model does not take log-mel [1, {mels}, {frames}] ({runtime.reason(error)}); check "
            f"front_end.mels = {mels}, window.frames = {frames} and cut.log_mel in the manifest"
        ) from None
    difference = float(np.abs(answer - expected).max() / (np.abs(expected).max() + 1e-9))
    if not difference <= SAME:  # nor with NaN
        raise GraphError(
            f"encoder and head, cut at {first.get_outputs()[0].name!r}, answer otherwise than the whole model "
            f"(largest difference {difference:.2g} of the largest value); check the manifest's cut, and the model "
            "for NaN"
        )


def _same_contract(own: ModelProto, source: ModelProto, path: Path) -> None:
    """Trained weights take and give what the source's part does, so that one can stand for the other.

    A head that takes WANTED gives as much by default.
    """
    optional = {t.name for t in own.graph.initializer}
    for what in ("input", "output"):
        mine, theirs = (
            [
                (v.name, [d.dim_value for d in v.type.tensor_type.shape.dim])
                for v in getattr(m.graph, what)
                if v.name not in optional
            ]
            for m in (own, source)
        )
        if what == "output" and {*WANTED} <= optional:
            for (_, dims), (_, all_frames) in zip(mine, theirs, strict=True):
                dims[1:2] = all_frames[1:2]
        if mine != theirs:
            raise GraphError(
                f"{path}: its {what} is {mine}, but the manifest's cut and window give {theirs}; "
                "train it again for this window, or change the manifest"
            )
