"""The encoder's ONNX graph to a TFLite converter through onnx2tf; runs only in a process of its own (see isolated.py).

Nothing here depends on how a processor rounds. In its "strict" mode, onnx2tf 1.29 chooses the transposes around MatMul,
Conv, Concat, means and others by trying permutations on a feed of ones and comparing the answers with an absolute
threshold of 1e-3; with large values, rounding decides. Strict mode is off, so that layouts follow from shapes alone,
and `require_same` compares the outcome with ONNX Runtime on values in which no two frames are alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx2tf
import tensorflow
from numpy.typing import NDArray
from onnx import ModelProto

from convert.errors import GraphError
from convert.onnx import graph, runtime
from convert.quantization import tflite

Float = NDArray[np.float32]
CHANNELS_LAST = [0, 2, 3, 1]
SAME = 1e-3  # largest difference, as a share of the largest value, between a graph and its TFLite form


def converter(model: ModelProto, scratch: Path) -> Any:
    """A TFLiteConverter for `model`, channels last; onnx2tf leaves what it writes in `scratch`.

    onnx2tf 1.29 transposes the sum of two tensors of four dimensions back to ONNX's layout when its shape is not the
    one ONNX gives (the "rescue guard" in its ops/Add.py); layouts are lost from there on, and depthwise convolutions
    become grouped ones. Its parameter replacement puts the transpose right after each such Add.
    """
    model = graph.plain_names(model)
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
            disable_strict_mode=True,
            param_replacement_file=str(replacements) if repairs else "",
            verbosity="error",
        )
    except SystemExit:
        raise GraphError("onnx2tf cannot convert the model; the log says at which operator it stopped") from None
    signature = [tensorflow.TensorSpec(x.shape, x.dtype, name=x.name) for x in keras.inputs]
    function = tensorflow.function(lambda *inputs: keras(inputs)).get_concrete_function(*signature)
    return tensorflow.lite.TFLiteConverter.from_concrete_functions([function], keras)


def last(x: Float) -> Float:
    """[1, C, ...] to channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def require_same(model: ModelProto, content: bytes) -> None:
    """GraphError unless the float TFLite model takes its input channels last and answers as `model` does."""
    session = runtime.session(model.SerializeToString())
    value = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(value.shape).astype(np.float32)
    (expected,) = runtime.run(session, x)
    interpreter = tflite.interpreter(content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], last(x).reshape(source["shape"]))
    interpreter.invoke()
    answer = interpreter.get_tensor(target["index"])
    if tuple(source["shape"]) != last(x).shape:
        raise GraphError(
            f"onnx2tf gave {value.name} the shape {list(source['shape'])} in place of {list(last(x).shape)}"
        )
    wanted = expected if tuple(target["shape"]) == expected.shape else last(expected)
    error = float(np.abs(answer.reshape(wanted.shape) - wanted).max() / (np.abs(wanted).max() + 1e-9))
    if not error <= SAME:  # nor with NaN
        raise GraphError(
            f"the TFLite form of {value.name} -> {model.graph.output[0].name} answers otherwise than the "
            f"ONNX model (largest difference {error:.2g} of the largest value)"
        )
