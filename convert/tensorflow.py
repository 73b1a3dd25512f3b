"""ONNX to float32 TFLite through onnx2tf; runs only in a process of its own (see isolated.py)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx2tf
import tensorflow
from numpy.typing import NDArray
from onnx import ModelProto, shape_inference

from convert import graph, tflite
from convert.errors import GraphError
from convert.lift import lift

Float = NDArray[np.float32]
CHANNELS_LAST = [0, 2, 3, 1]


def converter(model: ModelProto, scratch: Path) -> Any:
    """A TFLiteConverter for `model`, channels last; onnx2tf leaves what it writes in `scratch`.

    onnx2tf 1.29 transposes the sum of two tensors of four dimensions back to ONNX's layout when its shape is not the
    one ONNX gives (the "rescue guard" in its ops/Add.py); layouts are lost from there on, and depthwise convolutions
    become grouped ones. Its parameter replacement puts the transpose right after each such Add. Erf, which TFLite does
    not have, becomes a polynomial (Abramowitz & Stegun 7.1.26, error below 1.5e-7).
    """
    rank = {name: len(shape) for name, shape in graph.shapes(model).items()}
    rank |= {name: array.ndim for name, array in graph.tensors(model).items()}
    repairs = [
        {
            "op_name": node.name,
            "param_target": "outputs",
            "param_name": node.output[0],
            "post_process_transpose_perm": CHANNELS_LAST,
        }
        for node in model.graph.node
        if node.op_type == "Add" and all(rank[name] == 4 for name in node.input)
    ]
    replacements = scratch / "replacements.json"
    replacements.write_text(json.dumps({"format_version": 1, "operations": repairs}))
    source = graph.save(model, scratch / "model.onnx")
    try:
        keras = onnx2tf.convert(
            input_onnx_file_path=str(source),
            output_folder_path=str(scratch / "saved"),
            not_use_onnxsim=True,
            not_use_opname_auto_generate=True,
            disable_model_save=True,
            replace_to_pseudo_operators=["erf"],
            param_replacement_file=str(replacements) if repairs else "",
            verbosity="error",
        )
    except SystemExit:
        raise GraphError("onnx2tf cannot convert the model; the log says at which operator it stopped") from None
    signature = [tensorflow.TensorSpec(x.shape, x.dtype, name=x.name) for x in keras.inputs]
    function = tensorflow.function(lambda *inputs: keras(inputs)).get_concrete_function(*signature)
    return tensorflow.lite.TFLiteConverter.from_concrete_functions([function], keras)


def float_tflite(model: Path, target: Path) -> None:
    """ONNX `model` with one input as float32 TFLite at `target`, channels last, checked against onnxruntime."""
    proto = shape_inference.infer_shapes(graph.load(model))  # without shapes onnx2tf normalises the wrong axis
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        content = converter(proto, Path(scratch)).convert()
    _check_same(proto, content)
    target.write_bytes(content)


def reference(encoder: str, head: str, out: str) -> None:
    """The source's own float32 parts, for verify to compare with: encoder.tflite and head.tflite in `out`."""
    lifted = graph.save(lift(graph.load(Path(encoder))), Path(out, "lifted.onnx"))
    float_tflite(lifted, Path(out, "encoder.tflite"))
    float_tflite(Path(head), Path(out, "head.tflite"))


def head(model: str, out: str) -> None:
    float_tflite(Path(model), Path(out, "head.tflite"))


def run(content: bytes, x: Float) -> tuple[dict[str, Any], dict[str, Any], Float]:
    """Input details, output details and answer of a float32 TFLite model with one input and one output."""
    interpreter = tflite.interpreter(content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], x.reshape(source["shape"]))
    interpreter.invoke()
    return source, target, interpreter.get_tensor(target["index"])


def last(x: Float) -> Float:
    """[1, C, ...] to channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def _check_same(model: ModelProto, content: bytes) -> None:
    """GraphError unless the TFLite model takes its input channels last and answers as onnxruntime does."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    value = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(value.shape).astype(np.float32)
    expected = session.run(None, {value.name: x})[0]
    source, target, answer = run(content, last(x))
    if tuple(source["shape"]) != last(x).shape:
        raise GraphError(
            f"onnx2tf gave {value.name} the shape {list(source['shape'])} in place of {list(last(x).shape)}"
        )
    wanted = expected if tuple(target["shape"]) == expected.shape else last(expected)
    error = float(np.abs(answer.reshape(wanted.shape) - wanted).max() / (np.abs(wanted).max() + 1e-9))
    if error > 1e-3:
        raise GraphError(
            f"the TFLite form of {value.name} -> {model.graph.output[0].name} answers otherwise than the "
            f"ONNX model (largest difference {error:.2g} of the largest value)"
        )
