"""Moonshine's decoder out of its merged graph: int8 weights as they are there, arranged for graphs of our own.

The source quantizes each matrix to uint8 with one scale and one zero point, and activations as they come. That is kept
to the bit: products of uint8 by uint8 are exact in every processor's integers, where those of uint8 by int8 saturate on
x86 without VNNI. Of the vocabulary only the tokens that stay have weights (vocabulary.py). Needs NumPy and ONNX
Runtime's reader of its own files, no onnx.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import GraphError
from convert.transformer import ort_file
from convert.transformer.ort_file import Array, Kind, Node, OrtGraph

FILE = "decoder.bin"
ALIGNMENT = 64  # bytes, of each array in the file
POSITIONS = 1024  # that the rotary embedding's table has: 157 s at 6.5 tokens a second
NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "final_layernorm",
)  # before self-attention, cross-attention, MLP
PRODUCTS = {"MatMulIntegerToFloat": (3, 5), "DynamicQuantizeMatMul": (2, 3)}
"""ONNX Runtime's products with constant weights (input 1), and which inputs are the weights' scale and zero point."""

Weights = dict[str, Array]
"""Arrays by name, in the order of the file: `product` and with it NAME.scale and NAME.zero, norms, biases, tables.

A product is uint8 [in, out]. Where several were joined side by side, scale and zero point are those of each column.
`kept` int64 [kept] has the numbers of the tokens that stay, `places` int64 [tokens] where each is among them, or where
<unk> is, and `embedding` uint8 [kept, width] is theirs.
"""


@dataclass(frozen=True)
class Shape:
    """What the graphs' shapes follow from."""

    layers: int
    heads: int
    width: int  # C
    inner: int  # of the MLP, whose first product gives twice as many: values and gates
    rotated: int  # channels of each head that the rotary embedding turns

    @property
    def head(self) -> int:
        return self.width // self.heads


def read(decoder: Path, heads: int, stays: NDArray[np.bool_]) -> tuple[Weights, Shape]:
    """The weights in the source's merged decoder (.ort), of the tokens in `stays` [tokens].

    GraphError where it is another network.
    """
    found = _Source(ort_file.read(decoder).graph)
    layers = found.layers()
    weights: Weights = {}
    for n in range(layers):
        at, name = f"/model/decoder/layers.{n}", f"layers.{n}"
        weights |= _joined(f"{name}.qkv", [found.product(f"{at}/self_attn/{part}_proj/") for part in "qkv"])
        for ours, theirs in (
            ("out", "self_attn/o_proj"),
            ("cross_query", "encoder_attn/q_proj"),
            ("cross_key", "encoder_attn/k_proj"),
            ("cross_value", "encoder_attn/v_proj"),
            ("cross_out", "encoder_attn/o_proj"),
            ("fc1", "mlp/fc1"),
            ("fc2", "mlp/fc2"),
        ):
            weights |= _named(f"{name}.{ours}", found.product(f"{at}/{theirs}/"))
        for fc in ("fc1", "fc2"):
            weights[f"{name}.{fc}.bias"] = found.constant(f"model.decoder.layers.{n}.mlp.{fc}.bias")
        for i, norm in enumerate(NORMS):
            weights[f"{name}.norm{i}"] = found.constant(f"model.decoder.layers.{n}.{norm}.weight")
    weights["norm"] = found.operand("/model/decoder/norm/LayerNormalization_output_0", 1)
    head, scale, zero = found.product("logits")
    embedding = found.constant("model.decoder.embed_tokens.weight")
    if not np.array_equal(embedding.T, head):
        raise GraphError("the decoder's embedding is not its last layer's weights; is it Moonshine's?")
    if len(embedding) != len(stays):
        raise GraphError(
            f"the decoder has {len(embedding)} tokens, not the tokenizer's {len(stays)}; is it Moonshine's?"
        )
    weights["kept"] = np.flatnonzero(stays).astype(np.int64)
    weights["places"] = np.where(stays, np.cumsum(stays) - 1, 0).astype(np.int64)
    weights |= _named("embedding", (embedding[stays], scale, zero))
    frequencies = found.operand("/model/decoder/rotary_emb/Expand_output_0", 0).astype(np.float64).ravel()
    angles = np.outer(np.arange(POSITIONS), frequencies)
    weights["cosines"], weights["sines"] = (f(angles).astype(np.float32) for f in (np.cos, np.sin))
    width, inner = weights["embedding"].shape[1], len(weights["layers.0.fc2"])
    return weights, Shape(layers, heads, width, inner, 2 * len(frequencies))


def layout(weights: Mapping[str, Array]) -> dict[str, int]:
    """Name -> offset in the file, in bytes."""
    offsets, at = {}, 0
    for name, value in weights.items():
        offsets[name] = at
        at += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
    return offsets


def write(weights: Mapping[str, Array], path: Path) -> None:
    """The arrays, little-endian, each at its place in `layout`."""
    with path.open("wb") as file:
        for name, offset in layout(weights).items():
            file.write(b"\0" * (offset - file.tell()))
            file.write(weights[name].tobytes())


Product = tuple[Array, Array, Array]  # uint8 [in, out], scale, zero point


def _named(name: str, product: Product) -> Weights:
    return dict(zip((name, f"{name}.scale", f"{name}.zero"), product, strict=True))


def _joined(name: str, products: list[Product]) -> Weights:
    """Products of one input side by side."""
    weights, scales, zeros = zip(*products, strict=True)
    columns = [weight.shape[1] for weight in weights]
    return _named(name, (np.concatenate(weights, 1), np.repeat(scales, columns), np.repeat(zeros, columns)))


class _Source:
    """Constants of the branch without a cache, which has all weights, by what is computed from them."""

    def __init__(self, graph: OrtGraph) -> None:
        branches = [
            attribute.value
            for node in graph.nodes
            for name, attribute in node.attributes.items()
            if attribute.kind == Kind.GRAPH and name == "else_branch"
        ]
        if len(branches) != 1:
            raise GraphError("the decoder is no merged graph, with a branch for the first step; is it Moonshine's?")
        self._constants = {**graph.constants, **branches[0].constants}
        self._nodes: list[Node] = branches[0].nodes

    def layers(self) -> int:
        names = (name for node in self._nodes for name in node.outputs)
        found = (re.match(r"/model/decoder/layers\.(\d+)/", name) for name in names)
        layers = 1 + max((int(match[1]) for match in found if match), default=-1)
        if not layers:
            raise GraphError("the decoder has no layers that are called /model/decoder/layers.N/…; is it Moonshine's?")
        return layers

    def product(self, output: str) -> Product:
        """Of the one product whose output's name begins so."""
        node = self._only(output, (n for n in self._nodes if n.op in PRODUCTS and n.outputs[0].startswith(output)))
        weight, scale, zero = (self._constants.get(node.inputs[i]) for i in (1, *PRODUCTS[node.op]))
        if weight is None or scale is None or zero is None or weight.dtype != np.uint8 or scale.size != 1:
            raise GraphError(f"the decoder's {node.op} {output!r} has no constant uint8 weights; is it Moonshine's?")
        return weight, scale, zero

    def operand(self, output: str, index: int) -> Array:
        """A constant input of the node that computes `output`."""
        node = self._only(output, (n for n in self._nodes if output in n.outputs))
        return self.constant(node.inputs[index])

    def constant(self, name: str) -> Array:
        """By its name, or the beginning of it: merging and quantization append to it."""
        exact = {k: v for k, v in self._constants.items() if k == name or re.fullmatch(SUFFIX, k.removeprefix(name))}
        if len(exact) != 1:
            raise GraphError(f"the decoder has {len(exact)} tensors {name!r} in place of one; is it Moonshine's?")
        return next(iter(exact.values()))

    @staticmethod
    def _only(what: str, nodes: Iterator[Node]) -> Node:
        found = list(nodes)
        if len(found) != 1:
            raise GraphError(f"the decoder has {len(found)} nodes for {what!r} in place of one; is it Moonshine's?")
        return found[0]


SUFFIX = r"_merged_\d+(_quantized)?"
