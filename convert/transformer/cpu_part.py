"""The part of Moonshine's encoder that stays on the CPU, from the source's file: needs no onnx and no TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from convert.errors import GraphError
from convert.transformer import ort_file
from convert.transformer.ort_file import OrtGraph
from models.moonshine import Float, Weights


class Source(Protocol):
    """Where float constants are found; GraphError where there is none."""

    def layers(self) -> int:
        """How many layers the encoder has."""

    def constant(self, name: str) -> Float:
        """The constant called `name`."""

    def operand(self, output: str) -> Float:
        """The one constant float input of the node that computes `output`."""


class OrtSource:
    """A graph in ONNX Runtime's format as a `Source`."""

    def __init__(self, graph: OrtGraph) -> None:
        self._floats = {name: value for name, value in graph.constants.items() if value.dtype == np.float32}
        self._reads = {output: node.inputs for node in graph.nodes for output in node.outputs}

    def layers(self) -> int:
        return layers(self._reads)

    def constant(self, name: str) -> Float:
        if name not in self._floats:
            raise GraphError(f"the encoder has no tensor {name!r}; is it Moonshine's?")
        return self._floats[name]

    def operand(self, output: str) -> Float:
        return self.constant(only([name for name in self._reads.get(output, ()) if name in self._floats], output))


def layers(outputs: Iterable[str]) -> int:
    """How many layers there are, by the names of what a graph computes; 0 for another network than Moonshine's.

    >>> layers(["/layers.0/mlp/Add_output_0", "/layers.1/mlp/Add_output_0", "/conv1/Conv_output_0"])
    2
    """
    return 1 + max((int(found[1]) for name in outputs if (found := re.match(r"/layers\.(\d+)/", name))), default=-1)


def only(names: list[str], what: str) -> str:
    """The one name in a list; GraphError if there is another number of them."""
    if len(names) != 1:
        raise GraphError(f"the encoder has {len(names)} weights for {what!r} in place of one; is it Moonshine's?")
    return names[0]


def save(encoder: Path, heads: int, out: Path) -> None:
    """Writes encoder.npz (`Weights`) to the folder `out`, from the encoder in ONNX Runtime's format."""
    weights(OrtSource(ort_file.read(encoder).graph), heads).save(out / "encoder.npz")


def weights(source: Source, heads: int) -> Weights:
    """What `source` has for the CPU; GraphError where it is another network than Moonshine's encoder."""
    layers = source.layers()
    if not layers:
        raise GraphError("the encoder has no layers that are called /layers.N/…; is it Moonshine's?")
    c = source.constant
    found = Weights(
        conv1=c("conv1.weight_add_tensor")[:, 0],
        group_gain=source.operand("/groupnorm/Mul_output_0").ravel(),
        group_bias=source.operand("/groupnorm/Add_output_0").ravel(),
        conv2=c("conv2.weight_add_tensor"),
        conv2_bias=c("conv2.bias"),
        conv3=c("conv3.weight_add_tensor"),
        conv3_bias=c("conv3.bias"),
        attention_norm=np.stack([c(f"layers.{n}.input_layernorm.weight") for n in range(layers)]),
        mlp_norm=np.stack([c(f"layers.{n}.post_attention_layernorm.weight") for n in range(layers)]),
        final_norm=c("layer_norm.weight"),
        inverse_frequencies=source.operand("/rotary_emb/Expand_output_0").ravel(),
        heads=heads,
    )
    if found.width % heads:
        raise GraphError(f"the encoder is {found.width} wide, which {heads} heads do not divide; see encoder.heads")
    return found
