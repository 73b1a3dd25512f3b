"""Float layers to small ONNX graphs that lose little in int8, and what the CPU does before and after each.

- SmoothQuant: the CPU divides each input channel, the weights take the factor in, so that channels of an input are
  alike in range.
- Outputs are scaled and shifted by channel to [-1, 1] inside the graph, and back by the CPU.
- GELU is x * sigmoid(1.702 x), which the Edge TPU has as LOGISTIC and MUL; 1.702 is folded into the layers around it.
- The last layer of the feed-forward part is fitted by ridge regression to the int8 activations that it will get, and
  so makes up for the other form of GELU and for rounding.

The first three change nothing but rounding and cost the Edge TPU nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from convert.quantization import ranges
from convert.quantization.ranges import Range
from convert.transformer.weights import Linear, Mlp
from models import moonshine
from models.manifest import Pieces

Float = NDArray[np.float32]
GELU = 1.702
UNIT: Range = (-128 / 127, 1.0)  # scale 1 / 127, zero point 0
SIGMOID: Range = (0.0, 255 / 256)  # TFLite's fixed range of LOGISTIC
OPSET, IR = 17, 8
INPUT = "x"


@dataclass(frozen=True)
class Folded:
    """A piece in float, ready to be quantized: `(graph(x / divisor)) * scale + offset` is what the layer answers."""

    model: ModelProto  # x [1, in, frames] -> y [1, out, frames], with the ranges of its tensors in the metadata
    divisor: Float  # [in]
    scale: Float  # [out]
    offset: Float  # [out]


def fold(layer: Linear | Mlp, x: Float, settings: Pieces) -> Folded:
    """The piece for `layer`, with ranges by its inputs `x` [N, in] on calibration speech."""
    return _linear(layer, x, settings) if isinstance(layer, Linear) else _mlp(layer, x, settings)


def _linear(layer: Linear, x: Float, settings: Pieces) -> Folded:
    divisor = smoothing(x, layer.weight, settings.smoothing)
    scale, offset = _unit(layer(x), settings.headroom)
    graph = _GraphBuilder(settings.frames)
    y = graph.convolution(INPUT, layer.weight * divisor[:, None] / scale, -offset / scale, "y")
    return Folded(graph.model(y, {INPUT: tails(x / divisor, settings.quantile), y: UNIT}), divisor, scale, offset)


def _mlp(layer: Mlp, x: Float, settings: Pieces) -> Folded:
    divisor = smoothing(x, layer.w1, settings.smoothing)
    smooth = x / divisor
    h = x @ layer.w1 + layer.b1
    y = moonshine.gelu(h) @ layer.w2 + layer.b2
    entering = tails(smooth, settings.quantile)
    low, high = tails(h, settings.quantile)
    inner = max(low, settings.floor), high
    gate = h * _sigmoid(GELU * h)
    low, high = tails(gate, settings.quantile)
    gated = min(low, -0.1), high

    w1 = rounded_weights(layer.w1 * divisor[:, None])
    seen = rounded(rounded(smooth, entering) @ w1 + layer.b1, inner)
    seen = rounded(seen * rounded(_sigmoid(GELU * seen), SIGMOID), gated)
    w2, b2 = refitted(seen, y, layer.w2, layer.b2, settings.ridge)

    scale, offset = _unit(y, settings.headroom)
    graph = _GraphBuilder(settings.frames)
    graph.convolution(INPUT, layer.w1 * divisor[:, None] * GELU, layer.b1 * GELU, "h")
    graph.node("Sigmoid", ["h"], "s")
    graph.node("Mul", ["h", "s"], "g")
    graph.convolution("g", w2 / GELU / scale, (b2 - offset) / scale, "y")
    known = {INPUT: entering, "h": _times(inner, GELU), "g": _times(gated, GELU), "y": UNIT}
    return Folded(graph.model("y", known), divisor, scale, offset)


def smoothing(x: Float, weight: Float, alpha: float) -> Float:
    """What each channel of an input [N, in] is divided by; its mean is 1 (SmoothQuant, arXiv 2211.10438)."""
    of_input = np.maximum(np.abs(x).max(0), 1e-6)
    of_weight = np.maximum(np.abs(weight).max(1), 1e-8)
    factor = of_input**alpha / of_weight ** (1 - alpha)
    divisor: Float = (factor / factor.mean()).astype(np.float32)
    return divisor


def tails(x: Float, quantile: float) -> Range:
    """The range of `x` without that share of its values at either end, but with zero in it."""
    flat, k = x.ravel(), max(1, int(x.size * quantile)) - 1
    ordered = np.partition(flat, [k, flat.size - 1 - k])
    return min(float(ordered[k]), -1e-6), max(float(ordered[flat.size - 1 - k]), 1e-6)


def rounded(x: Float, limits: Range) -> Float:
    """`x` as int8 with this range holds it."""
    low, high = limits
    scale = np.float32((high - low) / 255)
    zero = np.float32(round(-128 - low / scale))
    held: Float = (np.clip(np.rint(x / scale) + zero, -128, 127) - zero) * scale
    return held


def rounded_weights(weight: Float) -> Float:
    """[in, out] as int8 holds it, symmetric, with a scale for each output."""
    scale = np.maximum(np.abs(weight).max(0), 1e-12).astype(np.float32) / 127
    held: Float = np.rint(weight / scale) * scale
    return held


def refitted(g: Float, y: Float, weight: Float, bias: Float, ridge: float) -> tuple[Float, Float]:
    """Weights and bias near the given ones that make `y` [N, out] of `g` [N, in] with the least squared error.

    `ridge` is how much a change of the weights costs, in the mean power of an input; the bias is free.
    """
    inputs = np.concatenate([g, np.ones((len(g), 1), np.float32)], 1).astype(np.float64)
    given = np.concatenate([weight, bias[None]]).astype(np.float64)
    power = inputs.T @ inputs
    cost = np.full(len(power), ridge * power.diagonal()[:-1].mean())
    cost[-1] = 1e-6
    change = np.linalg.solve(power + np.diag(cost), inputs.T @ (y - inputs @ given))
    fitted = (given + change).astype(np.float32)
    return fitted[:-1], fitted[-1]


def _unit(y: Float, headroom: float) -> tuple[Float, Float]:
    """Scale and offset by channel that bring `y` [N, out], and what spreads `headroom` times more, into [-1, 1]."""
    low, high = y.min(0), y.max(0)
    scale: Float = np.maximum((high - low) / 2 * np.float32(headroom), np.float32(1e-6))
    offset: Float = (low + high) / np.float32(2)
    return scale, offset


def _sigmoid(x: Float) -> Float:
    """By tanh, which does not overflow."""
    value: Float = (np.float32(1) + np.tanh(x / np.float32(2))) / np.float32(2)
    return value


def _times(limits: Range, factor: float) -> Range:
    return limits[0] * float(factor), limits[1] * float(factor)


class _GraphBuilder:
    """A float ONNX graph on [1, C, frames], built node by node."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[TensorProto] = []
        self._widths: dict[str, int] = {}

    def node(self, op: str, inputs: list[str], output: str) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], name=output))
        return output

    def convolution(self, source: str, weight: Float, bias: Float, output: str) -> str:
        """A linear layer [in, out] of every frame, as a 1x1 convolution."""
        self._widths.setdefault(source, weight.shape[0])
        self._widths[output] = weight.shape[1]
        for name, value in ((f"{output} weight", weight.T[:, :, None]), (f"{output} bias", bias)):
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return self.node("Conv", [source, f"{output} weight", f"{output} bias"], output)

    def model(self, output: str, known: dict[str, Range]) -> ModelProto:
        """The graph from INPUT to `output`, with the `known` ranges of its tensors."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, self._widths[name], self._frames])
            for name in (INPUT, output)
        ]
        graph = helper.make_graph(self._nodes, "piece", ends[:1], ends[1:], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        helper.set_model_props(model, {ranges.METADATA: json.dumps(known)})
        return onnx.shape_inference.infer_shapes(model)
