"""Write the trained network as ONNX: encoder.onnx with its activation ranges, head.onnx, and the loss curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from models import files
from models.bundle import WANTED
from models.training.acoustic import network

OPSET = 17
RANGES = "activation_ranges"  # metadata key: JSON {tensor name: [low, high]}, read by convert/quantization/quantize.py


class Graph:
    """An ONNX graph under construction; every method adds nodes and returns the name of the tensor it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.ranges: dict[str, list[float]] = {}

    def constant(self, name: str, value: Tensor | NDArray[np.generic]) -> str:
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def ranged(self, tensor: str, module: nn.Module) -> str:
        assert isinstance(module, network.ActivationRange)
        low, high = module.limits()
        self.ranges[tensor] = [low.item(), high.item()]
        return tensor

    def convolution(self, name: str, x: str, module: network.Convolution) -> str:
        g = module.geometry
        weight, bias = self.constant(f"{name}.weight", module.weight), self.constant(f"{name}.bias", module.bias)
        return self.op(
            "Conv",
            name,
            x,
            weight,
            bias,
            kernel_shape=[module.weight.shape[2]],
            strides=[g["stride"]],
            pads=[g["padding"]] * 2,
            dilations=[g["dilation"]],
            group=g["groups"],
        )

    def save(
        self,
        inputs: dict[str, list[int]],
        outputs: dict[str, list[int | str]],
        path: Path,
        optional: tuple[str, ...] = (),
    ) -> None:
        """Writes the graph; of `optional`, int64 [1] inputs, the constants of the same names are the defaults."""
        given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
        given += [helper.make_tensor_value_info(n, TensorProto.INT64, [1]) for n in optional]
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()]
        graph = helper.make_graph(self.nodes, path.stem, given, made, self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="coral-dictation"
        )
        if self.ranges:
            helper.set_model_props(model, {RANGES: json.dumps(self.ranges)})
        onnx.checker.check_model(model, full_check=True)
        with files.replacing(path) as part:
            onnx.save_model(model, part)


def encoder(module: network.Encoder, window: int, path: Path) -> None:
    """The encoder as float ONNX: log_mel [1, 80, window] -> hidden [1, 256, window / 2]."""
    g = Graph()
    x = g.ranged("log_mel", module.ranges["log_mel"])
    y = g.ranged(g.convolution("stem", x, module.stem), module.ranges["stem"])
    slope = g.constant("gelu_slope", np.array(network.GELU_SLOPE, np.float32))
    gate = g.op("Sigmoid", "gelu_gate", g.ranged(g.op("Mul", "gelu_scaled", y, slope), module.ranges["slope"]))
    x = g.ranged(g.op("Mul", "gelu", y, gate), module.ranges["gelu"])
    for index, block in enumerate(module.blocks):
        assert isinstance(block, network.Block)
        r, p = block.ranges, f"block{index}"
        y = g.ranged(g.convolution(f"{p}.depthwise", x, block.depthwise), r["depthwise"])
        y = g.ranged(g.convolution(f"{p}.pointwise", y, block.pointwise), r["pointwise"])
        y = g.ranged(g.op("Mul", f"{p}.swish", y, g.op("Sigmoid", f"{p}.gate", y)), r["swish"])
        z = g.ranged(g.op("GlobalAveragePool", f"{p}.pool", y), r["pool"])
        z = g.ranged(g.convolution(f"{p}.squeeze", z, block.squeeze), r["squeeze"])
        z = g.ranged(g.op("Mul", f"{p}.squeeze_swish", z, g.op("Sigmoid", f"{p}.squeeze_gate", z)), r["squeeze_swish"])
        z = g.op("Sigmoid", f"{p}.attention", g.ranged(g.convolution(f"{p}.excite", z, block.excite), r["excite"]))
        y = g.ranged(g.op("Mul", f"{p}.gated", y, z), r["gated"])
        x = g.ranged(g.op("Add", f"{p}.sum" if index + 1 < len(module.blocks) else "hidden", y, x), r["sum"])
    channels = module.stem.weight.shape
    g.save({"log_mel": [1, channels[1], window]}, {"hidden": [1, channels[0], window // 2]}, path)


def head(module: network.Head, frames: int, path: Path) -> None:
    """The head as float ONNX: hidden [1, 256, frames] -> log_probs [1, wanted, tokens].

    Wanted are the frames from `start` to the one before `end`, all by default. Each attends to all frames, so the last
    layer has keys and values of all, and the rest of wanted frames alone.
    """
    g = Graph()
    width, tokens = module.proj_weight.shape
    each = width // network.HEADS

    def shape(name: str, *sizes: int) -> str:
        return g.constant(name, np.array(sizes, np.int64))

    def dense(name: str, x: str, weight: Tensor, bias: Tensor) -> str:
        product = g.op("MatMul", f"{name}.product", x, g.constant(f"{name}.weight", weight))
        return g.op("Add", name, product, g.constant(f"{name}.bias", bias))

    def norm(name: str, x: str, weight: Tensor, bias: Tensor) -> str:
        return g.op(
            "LayerNormalization",
            name,
            x,
            g.constant(f"{name}.weight", weight),
            g.constant(f"{name}.bias", bias),
            axis=-1,
            epsilon=1e-5,
        )

    root2, one, half = (
        g.constant(n, np.array(v, np.float32)) for n, v in (("sqrt2", np.sqrt(2.0)), ("one", 1.0), ("half", 0.5))
    )
    scale = g.constant("attention_scale", np.array(each**-0.5, np.float32))
    split, join = shape("split_heads", 1, -1, network.HEADS, each), shape("join_heads", 1, -1, width)
    start, end, axis = shape(WANTED[0], 0), shape(WANTED[1], frames), shape("frame_axis", 1)
    x = g.op("Transpose", "frames", "hidden", perm=[0, 2, 1])
    layers = list(module.attention())
    for index, m in enumerate(layers):
        p = f"layer{index}"
        y = asking = norm(f"{p}.norm1", x, m.norm1_weight, m.norm1_bias)
        if index + 1 == len(layers):
            x, asking = (g.op("Slice", f"{p}.wanted.{of}", of, start, end, axis) for of in (x, y))
        parts = []
        thirds = zip("qkv", m.qkv_weight.chunk(3, -1), m.qkv_bias.chunk(3, -1), strict=True)
        for role, weight, bias in thirds:
            product = dense(f"{p}.{role}", asking if role == "q" else y, weight, bias)
            flat = g.op("Reshape", f"{p}.{role}.split", product, split)
            perm = [0, 2, 3, 1] if role == "k" else [0, 2, 1, 3]
            parts.append(g.op("Transpose", f"{p}.{role}.heads", flat, perm=perm))
        scores = g.op("Mul", f"{p}.scaled", g.op("MatMul", f"{p}.scores", parts[0], parts[1]), scale)
        mixed = g.op("MatMul", f"{p}.mixed", g.op("Softmax", f"{p}.weights", scores, axis=-1), parts[2])
        flat = g.op("Reshape", f"{p}.joined", g.op("Transpose", f"{p}.back", mixed, perm=[0, 2, 1, 3]), join)
        x = g.op("Add", f"{p}.attended", x, dense(f"{p}.out", flat, m.out_weight, m.out_bias))
        y = dense(f"{p}.up", norm(f"{p}.norm2", x, m.norm2_weight, m.norm2_bias), m.up_weight, m.up_bias)
        erf = g.op("Erf", f"{p}.erf", g.op("Div", f"{p}.erf_in", y, root2))
        gelu = g.op("Mul", f"{p}.gelu", g.op("Mul", f"{p}.half", y, half), g.op("Add", f"{p}.erf1", erf, one))
        x = g.op("Add", f"{p}.sum", x, dense(f"{p}.down", gelu, m.down_weight, m.down_bias))
    g.op("LogSoftmax", "log_probs", dense("logits", x, module.proj_weight, module.proj_bias), axis=-1)
    g.save({"hidden": [1, width, frames]}, {"log_probs": [1, "wanted", tokens]}, path, WANTED)


def plot(steps: list[int], losses: list[float], path: Path) -> None:
    """The loss curve as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(steps, losses)
    axes.set(
        xlabel="step",
        ylabel="divergence (nats a frame)",
        yscale="log",
        title="Fine-tuning the int8 encoder: divergence from the float teacher",
    )
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
