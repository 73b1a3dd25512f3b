"""Compares int8 TFLite models as conversions on two processors may differ: same graph, numbers within one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

BYTES = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}


@dataclass(frozen=True)
class Operator:
    """One operator: its code, its tensors' places, shapes and types."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: tuple[tuple[int, tuple[int, ...]], ...]


def graph_of(content: bytes) -> list[Operator]:
    """The operators in order, without any number that rounding can change."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (subgraph,) = model.subgraphs

    def described(index: int) -> tuple[int, tuple[int, ...]]:
        tensor = subgraph.tensors[index]
        return tensor.type, tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()

    found = []
    for op in subgraph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        inputs, outputs = (tuple(int(i) for i in places) for places in (op.inputs, op.outputs))
        kinds = tuple(described(i) for i in (*inputs, *outputs) if i >= 0)
        found.append(Operator(max(code.builtinCode, code.deprecatedBuiltinCode), inputs, outputs, kinds))
    return found


def differences(one: list[Operator], other: list[Operator]) -> list[str]:
    """What differs, an entry for each operator."""
    if len(one) != len(other):
        return [f"{len(one)} operators against {len(other)}"]
    return [f"operator {i}: {a} against {b}" for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]


def largest_step(one: bytes, other: bytes) -> float:
    """The largest difference of two models of one graph, in steps: of weights, of zero points, of scales.

    A scale's step is what moves the largest value by one step of int8, a 127th of the scale; a bias's is a 127th of the
    largest bias beside it.
    """
    pairs = zip(*(_tensors(content) for content in (one, other)), strict=True)
    return max(max(_steps(a, b), default=0.0) for a, b in pairs)


def _tensors(content: bytes) -> list[tuple[Any, Any]]:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (subgraph,) = model.subgraphs
    return [(tensor, model.buffers[tensor.buffer].data) for tensor in subgraph.tensors]


def _steps(one: tuple[Any, Any], other: tuple[Any, Any]) -> list[float]:
    (a, data), (b, twin) = one, other
    found = []
    qa, qb = a.quantization, b.quantization
    if qa is not None and qa.scale is not None:
        scales = np.array(qa.scale), np.array(qb.scale)
        found.append(float((np.abs(scales[0] - scales[1]) / scales[0]).max() * 127))
        found.append(float(np.abs(np.array(qa.zeroPoint) - np.array(qb.zeroPoint)).max()))
    if data is not None and a.type in BYTES:
        x, y = (np.asarray(values, np.uint8).view(BYTES[a.type]).astype(np.float64) for values in (data, twin))
        step = 1.0 if a.type == schema.TensorType.INT8 else (np.abs(x).max() + 1) / 127
        found.append(float(np.abs(x - y).max() / step))
    return found
