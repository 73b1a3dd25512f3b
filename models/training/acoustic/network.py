"""The base acoustic model in PyTorch, with simulated int8 arithmetic in its encoder.

Built from the tensors of hama's ``asr_waveform_fp16.onnx`` (PyPI hama 1.3.13, Apache-2.0). The encoder simulates what
TFLite's int8 kernels compute (https://ai.google.dev/edge/litert/models/quantization_spec): activations per tensor and
asymmetric, weights per output channel and symmetric, the output of a sigmoid fixed at scale 1/256. Rounding passes
gradients straight through (Bengio et al. 2013, arXiv 1308.3432); activation ranges are parameters and learn
(as in LSQ+, arXiv 2004.09576).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

HEADS = 4
GELU_SLOPE = 1.702  # x * sigmoid(1.702 x), Hendrycks & Gimpel 2016, arXiv 1606.08415: Erf has no int8 kernel
QUANTILE = 0.0002  # of an activation's values that its first range leaves out at either end


def round_straight_through(x: Tensor) -> Tensor:
    return x + (torch.round(x) - x).detach()


class ActivationRange(nn.Module):
    """Per-tensor int8 with a learned range [low, high]; the first batch it sees sets the range from its quantiles."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.tensor(0.0))
        self.high = nn.Parameter(torch.tensor(0.0))

    def limits(self) -> tuple[Tensor, Tensor]:
        """The range, forced to hold zero, which int8 must represent exactly."""
        return self.low.clamp(max=-1e-3), self.high.clamp(min=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        if self.low.item() == self.high.item():
            flat = x.detach().flatten()
            sample = flat[torch.randint(0, flat.numel(), (min(flat.numel(), 200_000),))]
            self.low.data = torch.quantile(sample, QUANTILE)
            self.high.data = torch.quantile(sample, 1 - QUANTILE)
        low, high = self.limits()
        scale = ((high - low) / 255).reshape(1)
        zero = torch.round(-low / scale).detach()
        quantized: Tensor = torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero, 0, 255, 1.0)
        return quantized


def quantized_sigmoid(x: Tensor) -> Tensor:
    """Sigmoid with the output scale that TFLite prescribes for int8, 1/256."""
    return round_straight_through(torch.sigmoid(x) * 256).clamp(0, 255) / 256


class Convolution(nn.Module):
    """A Conv1d of the source graph with per-channel symmetric int8 weights."""

    def __init__(self, node: onnx.NodeProto, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self.weight = nn.Parameter(tensors[node.input[1]].clone())
        self.bias = nn.Parameter(tensors[node.input[2]].clone())
        self.geometry: dict[str, Any] = {
            "stride": attributes["strides"][0],
            "padding": attributes["pads"][0],
            "dilation": attributes["dilations"][0],
            "groups": attributes["group"],
        }

    def forward(self, x: Tensor) -> Tensor:
        step = self.weight.detach().abs().amax((1, 2), keepdim=True).clamp(min=1e-8) / 127
        weight = round_straight_through(self.weight / step).clamp(-127, 127) * step
        return F.conv1d(x, weight, self.bias, **self.geometry)


class Block(nn.Module):
    """Depthwise conv, pointwise conv, swish, squeeze-and-excite, residual add: [B, 256, T] -> [B, 256, T]."""

    ROLES = ("depthwise", "pointwise", "swish", "pool", "squeeze", "squeeze_swish", "excite", "gated", "sum")

    def __init__(self, nodes: list[onnx.NodeProto], tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.depthwise, self.pointwise, self.squeeze, self.excite = (Convolution(n, tensors) for n in nodes)
        self.ranges = nn.ModuleDict({role: ActivationRange() for role in self.ROLES})

    def forward(self, x: Tensor) -> Tensor:
        q = self.ranges
        y = q["pointwise"](self.pointwise(q["depthwise"](self.depthwise(x))))
        y = q["swish"](y * quantized_sigmoid(y))
        z = q["squeeze"](self.squeeze(q["pool"](y.mean(2, keepdim=True))))
        z = q["excite"](self.excite(q["squeeze_swish"](z * quantized_sigmoid(z))))
        total: Tensor = q["sum"](q["gated"](y * quantized_sigmoid(z)) + x)
        return total


class Encoder(nn.Module):
    """Log-mel [B, 80, T] -> hidden frames [B, 256, T / 2] in simulated int8; `ranges` holds the stem's activations."""

    ROLES = ("log_mel", "stem", "slope", "gelu")

    def __init__(self, tensors: Mapping[str, Tensor], nodes: list[onnx.NodeProto]) -> None:
        super().__init__()
        self.stem = Convolution(nodes[0], tensors)
        self.ranges = nn.ModuleDict({role: ActivationRange() for role in self.ROLES})
        self.blocks = nn.ModuleList(Block(nodes[i : i + 4], tensors) for i in range(1, len(nodes), 4))

    def forward(self, log_mel: Tensor) -> Tensor:
        q = self.ranges
        y = q["stem"](self.stem(q["log_mel"](log_mel)))
        x: Tensor = q["gelu"](y * quantized_sigmoid(q["slope"](GELU_SLOPE * y)))
        for block in self.blocks:
            x = block(x)
        return x


class Attention(nn.Module):
    """The weights of one attention block; matrices are [in, out]."""

    qkv_weight: nn.Parameter
    qkv_bias: nn.Parameter
    out_weight: nn.Parameter
    out_bias: nn.Parameter
    up_weight: nn.Parameter
    up_bias: nn.Parameter
    down_weight: nn.Parameter
    down_bias: nn.Parameter
    norm1_weight: nn.Parameter
    norm1_bias: nn.Parameter
    norm2_weight: nn.Parameter
    norm2_bias: nn.Parameter


class Head(nn.Module):
    """Hidden frames [B, 256, T] -> log posteriors [B, T, 191]: two pre-norm attention blocks, a projection; float32."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()

        def named(suffix: str) -> nn.Parameter:
            return nn.Parameter(next(t for name, t in tensors.items() if name.endswith(suffix)).clone())

        matrices = sorted((n for n in tensors if n.startswith("onnx::MatMul")), key=lambda n: int(n.split("_")[-1]))
        layers = []
        for index in range(len(matrices) // 4):
            layer, prefix = Attention(), f"attn_layers.{index}."
            for role, name in zip(("qkv", "out", "up", "down"), matrices[4 * index : 4 * index + 4], strict=True):
                layer.register_parameter(f"{role}_weight", nn.Parameter(tensors[name].clone()))
            for role, suffix in (
                ("qkv", "attn.in_proj_bias"),
                ("out", "attn.out_proj.bias"),
                ("up", "ff.0.bias"),
                ("down", "ff.3.bias"),
                ("norm1", "norm1.bias"),
                ("norm2", "norm2.bias"),
            ):
                layer.register_parameter(f"{role}_bias", named(prefix + suffix))
            for role in ("norm1", "norm2"):
                layer.register_parameter(f"{role}_weight", named(f"{prefix}{role}.weight"))
            layers.append(layer)
        self.layers = nn.ModuleList(layers)
        self.proj_weight = nn.Parameter(named("model.proj.weight")[:, :, 0].T.contiguous())
        self.proj_bias = named("model.proj.bias")

    def attention(self) -> Iterator[Attention]:
        """The attention blocks, in order."""
        return (layer for layer in self.layers if isinstance(layer, Attention))

    def forward(self, hidden: Tensor) -> Tensor:
        x = hidden.transpose(1, 2)
        batch, time, width = x.shape
        for m in self.attention():
            y = F.layer_norm(x, (width,), m.norm1_weight, m.norm1_bias) @ m.qkv_weight + m.qkv_bias
            q, k, v = (p.view(batch, time, HEADS, width // HEADS).transpose(1, 2) for p in y.chunk(3, -1))
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, time, width)
            x = x + y @ m.out_weight + m.out_bias
            y = F.gelu(F.layer_norm(x, (width,), m.norm2_weight, m.norm2_bias) @ m.up_weight + m.up_bias)
            x = x + y @ m.down_weight + m.down_bias
        return F.log_softmax(x @ self.proj_weight + self.proj_bias, -1)


def load(source: bytes) -> tuple[Encoder, Head]:
    """Student encoder and head with the weights of hama's ONNX model (float16 there, float32 here)."""
    graph = onnx.load_model_from_string(source).graph
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)) for t in graph.initializer}
    nodes = [n for n in graph.node if n.op_type == "Conv" and n.name.startswith("/acoustic_model/")]
    return Encoder(tensors, [n for n in nodes if "/proj/" not in n.name]), Head(tensors)


def activation_ranges(encoder: Encoder) -> Iterator[ActivationRange]:
    return (m for m in encoder.modules() if isinstance(m, ActivationRange))
