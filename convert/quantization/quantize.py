"""Float ONNX encoder to int8 TFLite with chosen activation ranges; runs only in a process of its own.

The TFLite converter takes ranges from calibration alone, as minimum and maximum, and outliers then ruin the encoder.
So its calibrated model is taken before it is quantized, the ranges are written into it, and then it is quantized.
Which TFLite tensor is which ONNX tensor is found out by their values on a window of speech.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import ModelProto
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.python.framework import dtypes

from convert.errors import GraphError
from convert.onnx import graph
from convert.onnx.conv2d import conv1d_to_conv2d, require_int8
from convert.quantization import ranges, tflite
from convert.quantization.calibration import calibration_windows
from convert.quantization.tflite_export import converter, require_same

Float = NDArray[np.float32]
SAME = (
    1e-4  # mean difference, as a share of the mean value, below which two tensors are the same but for rounding (1e-6)
)
CALIBRATED = 16  # windows the converter itself sees; its minima and maxima stay only where no range is known


def quantize(encoder: str, calibration: str, quantile: str, out: str) -> None:
    """Writes to `out`: encoder.tflite (int8, [1, 1, frames, mels] in, [1, 1, frames / stride, C] out), lifted.onnx, the
    float32 encoder that it stands for, and tensors.json {TFLite tensor: ONNX tensor}.

    `calibration` is .npz with `log_mel` [N, frames or more, mels].
    """
    model = conv1d_to_conv2d(graph.load(Path(encoder)))
    require_int8(model)
    _, mels, _, frames = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    windows = calibration_windows(Path(calibration), frames, mels)
    inputs = channels_first(windows)
    declared = ranges.declared(model)
    known = declared or ranges.measured(model, inputs, float(quantile))
    content, origins = int8(model, windows, known, bool(declared), Path(out))
    Path(out, "encoder.tflite").write_bytes(content)
    Path(out, "tensors.json").write_text(json.dumps(origins, indent=1))
    graph.save(model, Path(out, "lifted.onnx"))


def int8(
    model: ModelProto, windows: Float, known: Mapping[str, ranges.Range], strict: bool, out: Path
) -> tuple[bytes, dict[str, str]]:
    """The int8 TFLite form of a lifted `model`, [1, 1, frames, C] in, and {TFLite tensor: ONNX tensor}.

    `windows` [N, frames, C] are inputs that its activations are looked at with; `known` are the ranges of its tensors.
    With `strict`, GraphError names a range that belongs to no tensor. Scratch files are in `out` until it is done.
    """
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        int8 = converter(model, Path(scratch))
        int8.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        int8.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        int8.inference_input_type = int8.inference_output_type = tensorflow.int8
        int8.representative_dataset = lambda: ([w[None, None]] for w in windows[:CALIBRATED])
        int8._experimental_calibrate_only = True
        calibrated = int8.convert()
    require_same(model, calibrated)
    seen = ranges.activations(model, channels_first(windows)[len(windows) // 2])
    ranged, origins = apply(calibrated, known, seen, model.graph.input[0].name, strict)
    return mlir_quantize(ranged, input_data_type=dtypes.int8, output_data_type=dtypes.int8), origins


def channels_first(windows: Float) -> Float:
    """[N, frames, C] as the inputs [N, 1, C, 1, frames] of a lifted model."""
    return windows.transpose(0, 2, 1)[:, None, :, None, :]


def apply(
    calibrated: bytes, known: Mapping[str, ranges.Range], values: Mapping[str, Float], source: str, strict: bool
) -> tuple[bytes, dict[str, str]]:
    """`calibrated` with the `known` ranges of the ONNX tensors that took on `values`, and {TFLite: ONNX tensor}.

    `source` is the name of the model's input among them.
    With `strict`, GraphError names a range that belongs to no tensor, for the encoder was trained to have it.
    """
    model = schema.ModelT.InitFromPackedBuf(calibrated, 0)
    (subgraph,) = model.subgraphs
    seen = _values(calibrated, subgraph, next(iter(subgraph.inputs)), values[source])
    origins = {index: name for index, value in seen.items() if (name := _same(value, values, known))}
    for index, name in origins.items():
        _set(subgraph.tensors[index], known[name])
    missing = known.keys() - set(origins.values())
    if strict and missing:
        raise GraphError(
            f"the range of {min(missing)!r} fits no tensor of the converted encoder; the encoder's ranges "
            "must name tensors that int8 inference computes"
        )
    for operator in subgraph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind in (schema.BuiltinOperator.PAD, schema.BuiltinOperator.RESHAPE) and operator.inputs[0] in origins:
            _set(subgraph.tensors[operator.outputs[0]], known[origins[operator.inputs[0]]])
    builder = flatbuffers.Builder(len(calibrated))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output()), {subgraph.tensors[i].name.decode(): n for i, n in origins.items()}


def _values(calibrated: bytes, subgraph: Any, source: int, window: Float) -> dict[int, Float]:
    """Every calibrated tensor of the TFLite model on a `window` [1, C, 1, frames]."""
    interpreter = tflite.interpreter(calibrated, every_tensor=True)
    interpreter.set_tensor(source, _channels_last(window))
    interpreter.invoke()
    found = {}
    for index, tensor in enumerate(subgraph.tensors):
        quantization = tensor.quantization
        if quantization is not None and quantization.min is not None and len(quantization.min) == 1:
            try:
                found[index] = interpreter.get_tensor(index)
            except ValueError:  # not computed: fused away
                continue
    return found


def _same(value: Float, values: Mapping[str, Float], known: Mapping[str, ranges.Range]) -> str | None:
    """The last tensor in graph order, among those whose range is known, that equals `value` but for rounding."""
    for name, other in reversed(list(values.items())):
        if name not in known or other.size != value.size:
            continue
        shaped = _channels_last(other) if other.ndim == 4 else other
        error = float(np.abs(shaped.ravel() - value.ravel()).mean() / (np.abs(shaped).mean() + 1e-9))
        if error <= SAME:
            return name
    return None


def _set(tensor: Any, limits: ranges.Range) -> None:
    tensor.quantization.min, tensor.quantization.max = [limits[0]], [limits[1]]


def _channels_last(x: Float) -> Float:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))
