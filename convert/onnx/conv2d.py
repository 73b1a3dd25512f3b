"""The encoder's Conv1d graph as the Edge TPU can have it: 1 x k Conv2d on [1, C, 1, T], nothing but int8 operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convert.errors import GraphError
from convert.onnx import graph

Array = NDArray[np.generic]
SWAP = [0, 2, 1]


def conv1d_to_conv2d(model: ModelProto) -> ModelProto:
    """The same computation on [1, C, 1, T] in place of [1, C, T], so that convolutions over time become 1 x k Conv2d.

    TFLite has no Conv1d; left to themselves, converters squeeze and unsqueeze around each convolution and lose the
    layout, and depthwise convolutions come out as grouped CONV_2D, which the Edge TPU refuses. GraphError names the
    first node that has no such form.
    """
    for node in model.graph.node:  # first, for exporters write some as Reshape and others around the one to blame
        graph.refuse_normalization(node)
    model = undilated(fuse_transposes(model))
    parts = model.graph
    rank = {name: len(shape) for name, shape in graph.shapes(model).items()}
    constants = {t.name: t for t in parts.initializer}
    lifted: set[str] = set()
    for node in parts.node:
        node.name = node.name or node.output[0]
        where = f"{node.op_type} {node.name!r}"
        if node.op_type not in _TO_CONV2D:
            raise GraphError(
                f"{where}: this operator cannot be part of an encoder for the Edge TPU; "
                "cut the model before it, or export it as Conv, BatchNorm, ReLU, Sigmoid, Mul, Add, mean"
            )
        if any(rank.get(name) != 3 for name in node.output):
            raise GraphError(
                f"{where}: its output has shape rank {rank.get(node.output[0])}, not [1, C, T]; cut the model elsewhere"
            )
        for index, name in enumerate(node.input):
            constant = constants.get(name)
            if constant is None or name in lifted or not _raised(node.op_type, index):
                continue
            value = numpy_helper.to_array(constant)
            lifted.add(name)
            if value.ndim >= 2:
                constant.CopyFrom(numpy_helper.from_array(np.expand_dims(value, -2), name))
        _TO_CONV2D[node.op_type](node, constants)
    for value in (*parts.input, *parts.output):
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [*dims[:-1], 1, dims[-1]]))
    del parts.value_info[:]
    model = onnx.shape_inference.infer_shapes(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"the encoder cannot be written with 2-D convolutions ({graph.line(error)})") from None
    return model


def undilated(model: ModelProto) -> ModelProto:
    """The same graph with zeros in the kernels of convolutions that are both strided and dilated.

    TensorFlow has either, not both; the kernel with its gaps filled by zeros computes the same without a dilation.
    """
    model = graph.copy(model)
    constants = graph.tensors(model)
    for node in model.graph.node:
        dilations, strides = graph.attribute(node, "dilations"), graph.attribute(node, "strides")
        if node.op_type != "Conv" or dilations is None or strides is None or node.input[1] not in constants:
            continue
        (dilation,), (stride,) = dilations.ints, strides.ints
        if dilation == 1 or stride == 1:
            continue
        kernel = constants[node.input[1]]
        filled = np.zeros((*kernel.shape[:-1], (kernel.shape[-1] - 1) * dilation + 1), kernel.dtype)
        filled[..., ::dilation] = kernel
        name = f"{node.output[0]} undilated kernel"
        model.graph.initializer.append(numpy_helper.from_array(filled, name))
        node.input[1] = name
        dilations.ints[:] = [1]
        if (shape := graph.attribute(node, "kernel_shape")) is not None:
            shape.ints[:] = [filled.shape[-1]]
    return model


def fuse_transposes(model: ModelProto) -> ModelProto:
    """The same graph without detours through [1, T, C]: linear layers between transposes become 1x1 convolutions.

    So PyTorch writes squeeze-and-excite with nn.Linear, as in Citrinet: pool, transpose, MatMul, ReLU, MatMul,
    transpose.
    """
    model = graph.copy(model)
    constants = graph.tensors(model)
    turned: dict[str, str] = {}  # tensor -> the tensor that it is the transpose of; computed only where it is needed
    alias: dict[str, str] = {}  # tensor -> the same tensor
    nodes: list[NodeProto] = []

    def constant(name: str, value: Array) -> str:
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def turn(op: str, node: NodeProto, *inputs: str) -> None:
        out = turned[node.output[0]] = f"{node.output[0]} turned"
        nodes.append(helper.make_node(op, inputs, [out], name=node.name or out))

    for node in model.graph.node:
        node.input[:] = [alias.get(name, name) for name in node.input]
        data = [name for name in node.input if name not in constants]
        weights = [constants[name] for name in node.input if name in constants]
        source = turned.get(data[0]) if len(data) == 1 else None
        if node.op_type == "Transpose" and list(graph.permutation(node)) == SWAP:
            if source is None:
                turned[node.output[0]] = node.input[0]
            else:
                alias[node.output[0]] = source
        elif node.op_type == "MatMul" and source and weights and weights[0].ndim == 2:
            turn("Conv", node, source, constant(f"{node.output[0]} weight", weights[0].T[:, :, None]))
        elif node.op_type in ("Relu", "Sigmoid", "Tanh") and source:
            turn(node.op_type, node, source)
        elif node.op_type == "Add" and source and weights and weights[0].ndim == 1:
            turn("Add", node, source, constant(f"{node.output[0]} bias", weights[0][:, None]))
        else:
            nodes += [_transpose(turned.pop(name), name) for name in dict.fromkeys(data) if name in turned]
            nodes.append(node)
    for value in model.graph.output:
        if value.name in turned:
            nodes.append(_transpose(turned[value.name], value.name))
        elif value.name in alias:
            nodes.append(helper.make_node("Identity", [alias[value.name]], [value.name], name=value.name))
    used = {name for node in nodes for name in node.input}
    kept = [c for c in model.graph.initializer if c.name in used]
    del model.graph.node[:], model.graph.value_info[:], model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return model


def _transpose(source: str, out: str) -> NodeProto:
    return helper.make_node("Transpose", [source], [out], name=out, perm=SWAP)


def require_int8(model: ModelProto) -> None:
    """GraphError names the first operator that TFLite or the Edge TPU cannot compute in int8."""
    for node in model.graph.node:
        if node.op_type not in INT8:
            advice = (
                "replace GELU by x * sigmoid(1.702 x) and train the encoder on"
                if node.op_type in ("Erf", "Gelu")
                else "replace it by Conv, ReLU, Sigmoid, Tanh, Mul, Add or a mean"
            )
            raise GraphError(
                f"{node.op_type} {node.name or node.output[0]!r}: the Edge TPU has no int8 form of this "
                f"operator; {advice}"
            )


BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu")
"""Operators whose constant operand has the rank of the data."""

ELEMENTWISE = (*BINARY, "Relu", "Sigmoid", "Tanh", "Clip", "GlobalAveragePool", "BatchNormalization", "Identity")
"""Operators that are the same on one axis more and have an int8 form."""

WINDOWED = ("Conv", "AveragePool", "MaxPool")

INT8 = frozenset((*WINDOWED, *ELEMENTWISE, "ReduceMean", "Concat"))


def _raised(op: str, index: int) -> bool:
    """Whether constant input `index` of `op` has the rank of the data and is lifted with it."""
    return index == 1 if op == "Conv" else op in BINARY


Constants = Mapping[str, TensorProto]


def _window_to_conv2d(node: NodeProto, constants: Constants) -> None:
    """Kernel and pads of a convolution or pooling get a leading one (or zero) for the new axis.

    Strides and dilations are doubled: on an axis of one they do nothing, and TensorFlow's depthwise convolution wants
    equal strides, the Edge TPU's documentation equal dilations.
    """
    for attribute in node.attribute:
        if attribute.name == "kernel_shape":
            attribute.ints[:] = [1, *attribute.ints]
        elif attribute.name in ("strides", "dilations"):
            attribute.ints[:] = [*attribute.ints, *attribute.ints]
        elif attribute.name == "pads":
            attribute.ints[:] = [0, attribute.ints[0], 0, attribute.ints[1]]


def _mean_to_conv2d(node: NodeProto, constants: Constants) -> None:
    if len(node.input) > 1 and node.input[1] in constants:  # an input since opset 18
        axes = constants[node.input[1]]
        value = numpy_helper.to_array(axes)
        axes.CopyFrom(numpy_helper.from_array(np.where((value == 2) | (value == -1), 3, value), axes.name))
    for attribute in node.attribute:
        if attribute.name == "axes":
            attribute.ints[:] = [3 if axis in (2, -1) else axis for axis in attribute.ints]


def _concat_to_conv2d(node: NodeProto, constants: Constants) -> None:
    for attribute in node.attribute:
        if attribute.name == "axis" and attribute.i in (2, -1):
            attribute.i = 3


def _same(node: NodeProto, constants: Constants) -> None:
    return


FLOAT_ONLY = ("HardSwish", "Dropout", "Erf", "Exp", "Log", "LeakyRelu", "Elu", "Softplus", "Sqrt", "Pow", "Gelu",
              "Mish", "HardSigmoid")  # fmt: skip
"""The same on one axis more, but for float32 alone: `require_int8` names them with what to put in their place."""

_TO_CONV2D: Mapping[str, Callable[[NodeProto, Constants], None]] = {
    **dict.fromkeys(WINDOWED, _window_to_conv2d),
    **dict.fromkeys((*ELEMENTWISE, *FLOAT_ONLY), _same),
    "ReduceMean": _mean_to_conv2d,
    "Concat": _concat_to_conv2d,
}
