"""Where quantization error enters: the signal-to-quantization-noise ratio of every tensor of the int8 encoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.onnx import graph
from convert.quantization import ranges, tflite

Float = NDArray[np.float32]


@dataclass(frozen=True)
class LayerError:
    """One tensor of the float encoder and how well the int8 encoder computes it, in graph order."""

    tensor: str
    op: str
    sqnr_db: float  # 10 log10(signal power / error power), over all windows


def errors(quantized: Path, windows: Float) -> list[LayerError]:
    """Every matched tensor's SQNR on `windows` [N, frames, mels]; `quantized` is quantize's directory."""
    model = graph.load(quantized / "lifted.onnx")
    origins: dict[str, str] = json.loads((quantized / "tensors.json").read_text())
    interpreter = tflite.interpreter(quantized / "encoder.tflite", every_tensor=True)
    source = interpreter.get_input_details()[0]
    details = {origins[d["name"]]: d for d in interpreter.get_tensor_details() if d["name"] in origins}
    signal, noise = dict.fromkeys(details, 0.0), dict.fromkeys(details, 0.0)
    for window in windows:
        expected = ranges.activations(model, np.ascontiguousarray(window.T)[None, :, None])
        scale, zero = source["quantization"]
        x = np.clip(np.rint(window / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], x.reshape(source["shape"]))
        interpreter.invoke()
        for name, detail in details.items():
            scale, zero = detail["quantization"]
            got = (interpreter.get_tensor(detail["index"]).astype(np.float32) - zero) * scale
            want = np.moveaxis(expected[name], 1, -1).reshape(got.shape)
            signal[name] += float((want**2).sum())
            noise[name] += float(((got - want) ** 2).sum())
    kinds = {o: _kind(n.op_type, n.name) for n in model.graph.node for o in n.output}
    order = [model.graph.input[0].name, *(o for n in model.graph.node for o in n.output)]
    grouped = {n.output[0] for n in model.graph.node for a in n.attribute if a.name == "group" and a.i > 1}
    return [
        LayerError(
            name,
            "depthwise Conv" if name in grouped else kinds.get(name, "input"),
            round(10 * float(np.log10((signal[name] + 1e-12) / (noise[name] + 1e-12))), 2),
        )
        for name in order
        if name in details
    ]


def _kind(op: str, name: str) -> str:
    return {"GlobalAveragePool": "mean", "ReduceMean": "mean"}.get(op, op)
