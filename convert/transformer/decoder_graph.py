"""The decoder as two graphs that ONNX Runtime runs fast: its fused attention, norms and products, and little else.

`CROSS` computes the keys and values of the cross-attention, of all layers, once for a segment. `STEP` advances any
number of rows, one token each. Rows are a sequence and not a batch: all see one cache, and `mask` says which entries of
it are a row's own past. So hypotheses of a beam share what they have in common, nothing is copied when they are
reordered, and the tokens of a known text can be rows of a single step.

Per layer of STEP: SkipLayerNormalization, one product for queries, keys and values, RotaryEmbedding, MultiHeadAttention
with the cache, and so on: 17 nodes, where the source has about 150.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.transformer import decoder_weights, vocabulary
from convert.transformer.decoder_weights import Shape
from convert.transformer.ort_file import Array
from models.tokenizer import Tokenizer, pack

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

CROSS, STEP, TOKENIZER = "decoder_cross.onnx", "decoder_step.onnx", "tokenizer.bin"
FILES = (CROSS, STEP, decoder_weights.FILE, TOKENIZER)
SHIPPED = (CROSS, STEP, vocabulary.FILE)
"""What a machine without onnx takes as it is."""
MICROSOFT = "com.microsoft"
OPSETS = {"": 17, MICROSOFT: 1}
IR_VERSION = 9
EPSILON = 1e-5  # of the layer norms


def export(decoder: Path, tokenizer: Path, heads: int, out: Path, given: Path) -> None:
    """Writes FILES and SHIPPED to `out` from the source's merged decoder (.ort), the same bytes on every machine.

    `given` is a lexicon.tsv.gz, for whose words the tokens are chosen, or a folder that has SHIPPED: those are copied
    then, and the package onnx is not needed. GraphError where the source is another network.
    """
    whole = Tokenizer.load(tokenizer)
    if given.is_dir():
        stays = vocabulary.read(given / vocabulary.FILE, len(whole.tokens))
    else:
        stays = vocabulary.kept(whole, vocabulary.words(given))
    weights, shape = decoder_weights.read(decoder, heads, stays)
    decoder_weights.write(weights, out / decoder_weights.FILE)
    (out / TOKENIZER).write_bytes(pack(vocabulary.spelled(whole, stays).tokens))
    if given.is_dir():
        for name in SHIPPED:
            shutil.copyfile(given / name, out / name)
    else:
        vocabulary.write(stays, out / vocabulary.FILE)
        for name, model in build(weights, shape).items():
            (out / name).write_bytes(model.SerializeToString(deterministic=True))


def build(weights: Mapping[str, Array], shape: Shape) -> dict[str, ModelProto]:
    """CROSS and STEP, with `weights` only by their place in decoder.bin."""
    return {CROSS: _cross(weights, shape), STEP: _step(weights, shape)}


def _cross(weights: Mapping[str, Array], shape: Shape) -> ModelProto:
    """Input hidden float32 [1, T, C]; outputs cross_key.N and cross_value.N float32 [1, heads, T, C / heads]."""
    from onnx import TensorProto

    made = _Maker(weights)
    made.constant("shape", [1, -1, shape.heads, shape.head])
    made.input("hidden", TensorProto.FLOAT, [1, "frames", shape.width])
    for n, part in itertools.product(range(shape.layers), ("key", "value")):  # one by one, which takes less memory
        name = f"cross_{part}.{n}"
        made.node("Reshape", [made.product("hidden", f"layers.{n}.cross_{part}"), "shape"], [f"{name} apart"])
        made.node("Transpose", [f"{name} apart"], [name], perm=[0, 2, 1, 3])
        made.output(name, TensorProto.FLOAT, [1, shape.heads, "frames", shape.head])
    return made.model("cross")


def _step(weights: Mapping[str, Array], shape: Shape) -> ModelProto:
    """Rows in, log probabilities out; `past` entries of the cache become `total` = past + rows.

    Inputs: tokens and positions int64 [1, rows]; mask float32 [1, 1, rows, total], 0 where a row may look and very
    negative elsewhere, the rows' own entries last; top int64 [1]; asked int64 [asked], any tokens; for each layer N
    cross_key.N, cross_value.N, past_key.N, past_value.N. Outputs: the `top` highest log probabilities, best float32
    [1, rows, top], and their tokens, ids int64 [1, rows, top]; those of the tokens in `asked`, log_probs float32
    [1, rows, asked]; key.N, value.N. A token that does not stay counts as <unk>.
    """
    from onnx import TensorProto

    made = _Maker(weights)
    made.constant("thirds", [shape.width] * 3)
    made.constant("halves", [shape.inner] * 2)
    made.input("tokens", TensorProto.INT64, [1, "rows"])
    made.input("positions", TensorProto.INT64, [1, "rows"])
    made.input("mask", TensorProto.FLOAT, [1, 1, "rows", "total"])
    made.input("top", TensorProto.INT64, [1])
    made.output("best", TensorProto.FLOAT, [1, "rows", "top"])
    made.output("ids", TensorProto.INT64, [1, "rows", "top"])
    made.input("asked", TensorProto.INT64, ["asked"])
    made.output("log_probs", TensorProto.FLOAT, [1, "rows", "asked"])
    made.node("Gather", ["places", "tokens"], ["places of tokens"])
    made.node("Gather", ["embedding", "places of tokens"], ["embedded uint8"])
    made.node("DequantizeLinear", ["embedded uint8", "embedding.scale", "embedding.zero"], ["embedded"])
    stream = _Residual(made, "embedded")
    for n in range(shape.layers):
        at = f"layers.{n}"
        made.product(stream.norm(f"{at}.norm0"), f"{at}.qkv", f"{at} qkv")
        made.node("Split", [f"{at} qkv", "thirds"], [f"{at} {part}" for part in "qkv"], axis=-1)
        for part in "qk":
            made.node(
                "RotaryEmbedding",
                [f"{at} {part}", "positions", "cosines", "sines"],
                [f"{at} {part} turned"],
                MICROSOFT,
                interleaved=1,
                num_heads=shape.heads,
                rotary_embedding_dim=shape.rotated,
            )
        made.node(
            "MultiHeadAttention",
            [f"{at} q turned", f"{at} k turned", f"{at} v", "", "", "mask", f"past_key.{n}", f"past_value.{n}"],
            [f"{at} attended", f"key.{n}", f"value.{n}"],
            MICROSOFT,
            num_heads=shape.heads,
        )
        stream.add(made.product(f"{at} attended", f"{at}.out"))
        made.product(stream.norm(f"{at}.norm1"), f"{at}.cross_query", f"{at} cross q")
        made.node(
            "MultiHeadAttention",
            [f"{at} cross q", f"cross_key.{n}", f"cross_value.{n}"],
            [f"{at} cross attended"],
            MICROSOFT,
            num_heads=shape.heads,
        )
        stream.add(made.product(f"{at} cross attended", f"{at}.cross_out"))
        made.product(stream.norm(f"{at}.norm2"), f"{at}.fc1", f"{at} inner", f"{at}.fc1.bias")
        made.node("Split", [f"{at} inner", "halves"], [f"{at} values", f"{at} gates"], axis=-1)
        made.node("QuickGelu", [f"{at} gates"], [f"{at} gates open"], MICROSOFT, alpha=1.0)
        made.node("Mul", [f"{at} gates open", f"{at} values"], [f"{at} gated"])
        stream.add(made.product(f"{at} gated", f"{at}.fc2"), f"{at}.fc2.bias")
        for part in ("key", "value"):
            made.input(f"cross_{part}.{n}", TensorProto.FLOAT, [1, shape.heads, "frames", shape.head])
            made.input(f"past_{part}.{n}", TensorProto.FLOAT, [1, shape.heads, "past", shape.head])
            made.output(f"{part}.{n}", TensorProto.FLOAT, [1, shape.heads, "total", shape.head])
    made.node("Transpose", ["embedding"], ["head"], perm=[1, 0])  # ONNX Runtime does it once, on loading
    made.product(stream.norm("norm"), "head", "logits", scales="embedding")
    made.node("LogSoftmax", ["logits"], ["all"], axis=-1)
    made.node("TopK", ["all", "top"], ["best", "places of ids"], axis=-1)
    made.node("Gather", ["kept", "places of ids"], ["ids"])
    made.node("Gather", ["places", "asked"], ["places of asked"])
    made.node("Gather", ["all", "places of asked"], ["log_probs"], axis=-1)
    return made.model("step")


class _Maker:
    """Nodes, and the weights that they read."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights, self._offsets = weights, decoder_weights.layout(weights)
        self._nodes: list[NodeProto] = []
        self._small: dict[str, list[int]] = {}
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def node(self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], domain=domain, **attributes))

    def product(self, x: str, weight: str, output: str = "", bias: str = "", scales: str = "") -> str:
        """x @ weight + bias, x quantized as it comes; `scales` is whose scale and zero point go with the weight."""
        output, scales = output or f"{weight} product", scales or weight
        inputs = [x, weight, f"{scales}.scale", f"{scales}.zero", *([bias] if bias else [])]
        self.node("DynamicQuantizeMatMul", inputs, [output], MICROSOFT)
        return output

    def constant(self, name: str, values: list[int]) -> None:
        self._small[name] = values

    def input(self, name: str, kind: int, shape: list[Any]) -> None:
        from onnx import helper

        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, kind: int, shape: list[Any]) -> None:
        from onnx import helper

        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def model(self, name: str) -> ModelProto:
        from onnx import TensorProto, helper

        read = {name for node in self._nodes for name in node.input}
        constants = [self._external(name) for name in self._weights if name in read]
        constants += [helper.make_tensor(k, TensorProto.INT64, [len(v)], v) for k, v in self._small.items()]
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _external(self, name: str) -> Any:
        from onnx import TensorProto, helper

        value = self._weights[name]
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=value.shape, data_location=TensorProto.EXTERNAL)
        place = {"location": decoder_weights.FILE, "offset": self._offsets[name], "length": value.nbytes}
        for key, what in place.items():
            tensor.external_data.add(key=key, value=str(what))
        return tensor


class _Residual:
    """The stream that every block adds to: its sum so far, and what waits to be added by the next norm."""

    def __init__(self, made: _Maker, start: str) -> None:
        self._made, self._sum, self._waiting, self._bias = made, start, "", ""

    def add(self, x: str, bias: str = "") -> None:
        self._waiting, self._bias = x, bias

    def norm(self, gain: str) -> str:
        """The sum, normalized."""
        output, total = f"{gain} normal", f"{gain} sum"
        if not self._waiting:
            self._made.node("LayerNormalization", [self._sum, gain], [output], axis=-1, epsilon=EPSILON)
            return output
        inputs = [self._sum, self._waiting, gain, *(["", self._bias] if self._bias else [])]
        outputs = [output, "", "", total]
        self._made.node("SkipLayerNormalization", inputs, outputs, MICROSOFT, epsilon=EPSILON)
        self._sum = total
        return output
