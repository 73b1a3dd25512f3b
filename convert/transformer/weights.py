"""Moonshine's encoder out of its graph: named float32 weights, and the float linear layers that become pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from convert.errors import GraphError
from convert.onnx import graph
from convert.transformer import cpu_part
from models import moonshine
from models.moonshine import Weights

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """A linear layer without bias: x @ weight."""

    weight: Float  # [in, out]

    def __call__(self, x: Float) -> Float:
        answer: Float = x @ self.weight
        return answer


@dataclass(frozen=True)
class Mlp:
    """The feed-forward part of a layer: GELU(x @ w1 + b1) @ w2 + b2."""

    w1: Float  # [C, inner]
    b1: Float
    w2: Float  # [inner, C]
    b2: Float

    def __call__(self, x: Float) -> Float:
        answer: Float = moonshine.gelu(x @ self.w1 + self.b1) @ self.w2 + self.b2
        return answer


@dataclass(frozen=True)
class Encoder:
    """The whole float encoder: what stays on the CPU, and by name (`moonshine.pieces`) what the pieces compute."""

    weights: Weights
    pieces: dict[str, Linear | Mlp]

    def __call__(self, samples: Float, linear: moonshine.Linear | None = None) -> Float:
        """Samples [n] at 16 kHz to [T, C], with the float pieces or with others in their place."""
        stem = moonshine.Stem(self.weights)
        stem.push(samples)
        return moonshine.encode(self.weights, stem.frames(), linear or self.linear)

    def linear(self, name: str, x: Float) -> Float:
        return self.pieces[name](x)


def read(model: ModelProto, heads: int) -> Encoder:
    """The encoder in `model`, a float32 graph (see ort_format.dequantized); GraphError where it is another network."""
    found = _GraphReader(model)
    weights, c = cpu_part.weights(found, heads), found.constant
    pieces: dict[str, Linear | Mlp] = {}
    for n in range(weights.layers):
        attention, mlp = f"/layers.{n}/self_attn", f"/layers.{n}/mlp"
        qkv = [found.product(f"{attention}/{name}_proj") for name in "qkv"]
        pieces[f"{n}.qkv"] = Linear(np.concatenate(qkv, 1))
        pieces[f"{n}.o"] = Linear(found.product(f"{attention}/o_proj"))
        pieces[f"{n}.mlp"] = Mlp(
            found.product(f"{mlp}/fc1"),
            c(f"layers.{n}.mlp.fc1.bias"),
            found.product(f"{mlp}/fc2"),
            c(f"layers.{n}.mlp.fc2.bias"),
        )
    return Encoder(weights, pieces)


class _GraphReader:
    """Constants of the graph by their name, or by that of what is computed from them."""

    def __init__(self, model: ModelProto) -> None:
        self._constants = graph.tensors(model)
        self._nodes = list(model.graph.node)

    def layers(self) -> int:
        return cpu_part.layers(name for node in self._nodes for name in node.output)

    def constant(self, name: str) -> Float:
        if name not in self._constants:
            raise GraphError(f"the encoder has no tensor {name!r}; is it Moonshine's?")
        return np.asarray(self._constants[name], np.float32)

    def operand(self, output: str) -> Float:
        """The one constant float input of the node that computes `output`."""
        return self._only(lambda node: output in node.output, output)

    def product(self, prefix: str) -> Float:
        """The weights [in, out] of the MatMul in PREFIX/."""
        return self._only(lambda node: node.op_type == "MatMul" and node.output[0].startswith(f"{prefix}/"), prefix)

    def _only(self, wanted: Callable[[NodeProto], bool], what: str) -> Float:
        """The one float constant that the `wanted` nodes read."""
        read = [name for node in self._nodes if wanted(node) for name in node.input if name in self._constants]
        found = [name for name in read if self._constants[name].dtype == np.float32]
        return self.constant(cpu_part.only(found, what))
