"""What the bundle says about itself: tokens, tensors, front end, windows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import GraphError, SourceError
from convert.onnx import runtime
from convert.quantization import tflite
from models.bundle import Description, EdgeTpu, Licence, Tensor
from models.manifest import Manifest


def tokens(manifest: Manifest, assets: Mapping[str, Path]) -> list[str]:
    """The tokens in the order of the posteriors; SourceError when they cannot be read or do not fit the manifest."""
    spec = manifest.tokens
    try:
        if spec.asset:
            parsed: Any = json.loads(assets[spec.asset].read_text(encoding="utf-8"))
            listed = parsed[spec.key] if spec.key else parsed
        elif spec.file:
            listed = manifest.file(spec.file).read_text(encoding="utf-8").split("\n")
            listed = listed[:-1] if listed[-1] == "" else listed
        else:
            listed = list(spec.tokens)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{manifest.path}: the tokens cannot be read ({error!r})") from None
    found = [str(token) for token in (*listed, *spec.append)]
    for key, token in (("blank", spec.blank), ("boundary", spec.boundary)):
        if token and found.count(token) != 1:
            raise SourceError(
                f"{manifest.path}: tokens.{key} = {token!r}: occurs {found.count(token)} times among the "
                f"{len(found)} tokens, once is needed"
            )
    if any("\n" in token for token in found):
        raise SourceError(f"{manifest.path}: a token holds a line break; tokens are stored one a line")
    return found


def description(
    manifest: Manifest,
    encoder: Path,
    head: Path,
    names: list[str],
    edge_tpu: EdgeTpu,
    licences: Mapping[str, Licence],
) -> Description:
    """The bundle's description of these files; GraphError when the head gives another number of tokens."""
    (source, hidden), (head_input, output) = tflite_tensors(encoder), _head(head)
    if output.shape[-1] != len(names):
        raise GraphError(
            f"the head gives {output.shape[-1]} posteriors a frame, but there are {len(names)} tokens; "
            f"check the tokens in {manifest.path}"
        )
    spec = manifest.tokens
    return Description(
        name=manifest.name,
        source=manifest.source.package or manifest.path.name,
        licences=licences,
        blank=names.index(spec.blank),
        boundary=names.index(spec.boundary) if spec.boundary else None,
        unit=spec.unit,
        front_end=manifest.front_end,
        window=manifest.window,
        encoder_input=source,
        encoder_output=hidden,
        head_input=head_input,
        head_output=output,
        search=manifest.search,
        edge_tpu=edge_tpu,
    )


def float32(int8: Description, encoder: Path, head: Path) -> Description:
    """`int8` of a bundle with float32 parts in ONNX instead; its encoder has channels last as the int8 one."""
    (source, hidden), (head_input, output) = _onnx(encoder), _head(head)

    def last(tensor: Tensor) -> Tensor:
        return replace(tensor, shape=(1, 1, tensor.shape[2], tensor.shape[1]))

    return replace(
        int8,
        encoder_input=last(source),
        encoder_output=last(hidden),
        head_input=head_input,
        head_output=output,
        edge_tpu=EdgeTpu(False, "not compiled: float32"),
    )


def tflite_tensors(model: Path) -> tuple[Tensor, Tensor]:
    """The one input and the one output of a TFLite file."""
    interpreter = tflite.interpreter(model)
    return _tensor(interpreter.get_input_details()[0]), _tensor(interpreter.get_output_details()[0])


def _tensor(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    return Tensor(shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def _onnx(model: Path) -> tuple[Tensor, Tensor]:
    """The one input and the one output of a float32 ONNX file."""
    session = runtime.session(model)
    source, target = (Tensor(tuple(v.shape), "float32") for v in (session.get_inputs()[0], session.get_outputs()[0]))
    return source, target


def _head(model: Path) -> tuple[Tensor, Tensor]:
    """The same of a head; of one that can answer for some of the frames, the output for all of them."""
    source, target = _onnx(model)
    batch, frames, tokens = target.shape
    return source, replace(target, shape=(batch, frames if isinstance(frames, int) else source.shape[-1], tokens))
