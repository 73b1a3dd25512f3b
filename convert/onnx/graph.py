"""ONNX graphs: read, checked, cut, given static shapes and float32. Every function leaves its argument as it was and
returns a new model.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convert.errors import GraphError

NORMALIZATIONS = frozenset(("GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization"))


def load(path: Path) -> ModelProto:
    """The model at `path`, checked; GraphError when it is not ONNX, cut short or inconsistent."""
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise GraphError(f"{error.filename or path}: no such file") from None
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise GraphError(f"{path}: not an ONNX file, or cut short ({line(error)}); export or fetch it again") from None
    if not model.graph.node or not model.opset_import:
        raise GraphError(f"{path}: not an ONNX file, or cut short (it holds no graph); export or fetch it again")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"{path}: not a valid ONNX model ({line(error)}); export it again") from None
    return model


def save(model: ModelProto, path: Path) -> Path:
    onnx.save_model(model, path)
    return path


def tensors(model: ModelProto) -> dict[str, NDArray[np.generic]]:
    """Every constant of the graph by name: initializers and Constant nodes."""
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and (value := attribute(node, "value")) is not None:
            found[node.output[0]] = numpy_helper.to_array(value.t)
    return found


def names(model: ModelProto) -> set[str]:
    """Every tensor of the graph that is computed or comes from outside."""
    return {v.name for v in model.graph.input} | {o for n in model.graph.node for o in n.output if o}


def require(model: ModelProto, name: str, what: str) -> None:
    """GraphError unless `name` is a tensor of the graph; `what` names the manifest's key."""
    known = names(model)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.3)
        raise GraphError(
            f"the model has no tensor {name!r}, which the manifest's {what} names"
            + (f"; near: {', '.join(near)}" if near else "")
        )


def shapes(model: ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Shape of every tensor as far as ONNX's shape inference knows it; None stands for an unknown size."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            found[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
    return found


def float32(model: ModelProto) -> ModelProto:
    """float16 constants and casts become float32."""
    model = copy(model)
    graph = model.graph
    for constant in graph.initializer:
        if constant.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT16:
                value = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(value, attribute.t.name))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def extract(
    model: ModelProto,
    inputs: Mapping[str, Sequence[int]],
    output: str,
    constants: Mapping[str, NDArray[np.generic]] | None = None,
) -> ModelProto:
    """The part of the graph that computes `output` from `inputs` (name -> static float32 shape) and `constants`.

    GraphError when it needs anything else.
    """
    given = dict(constants or {})
    producer = {o: n for n in model.graph.node for o in n.output}
    initial = {t.name: t for t in model.graph.initializer}
    wanted, order, kept, seen = [output], [], [], set(inputs) | set(given)
    while wanted:
        name = wanted.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        if name in initial:
            kept.append(initial[name])
        elif name in producer:
            node = producer[name]
            seen.update(node.output)
            order.append(node)
            wanted += node.input
        else:
            raise GraphError(
                f"{output!r} does not depend on {', '.join(map(repr, inputs))} alone, but also on "
                f"{name!r}; move the cut in the manifest"
            )
    ids = {id(n) for n in order}
    nodes = [n for n in model.graph.node if id(n) in ids]
    if not any(name in node.input for node in nodes for name in inputs):
        raise GraphError(f"{output!r} does not depend on {', '.join(map(repr, inputs))}; move the cut in the manifest")
    kept += [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()]
    graph = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        kept,
    )
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return onnx.shape_inference.infer_shapes(part, data_prop=True)


def simplify(model: ModelProto) -> ModelProto:
    """Constants folded, BatchNorm folded into convolutions, every shape static; GraphError where that cannot be."""
    import onnxsim

    try:
        simple, _ = onnxsim.simplify(model)
    except Exception as error:  # onnxsim and the runtime inside raise what they like
        known = shapes(model)
        lost = next((n for n in model.graph.node if any(None in known.get(o, (None,)) for o in n.output if o)), None)
        if lost is not None:
            refuse_normalization(lost)
        where = f", first at {lost.op_type} {lost.name or lost.output[0]!r}" if lost is not None else ""
        raise GraphError(
            f"the graph cannot be given static shapes{where} ({line(error)}); "
            "export it with a fixed or a plain [1, mels, T] input"
        ) from None
    known = shapes(simple)
    for node in simple.graph.node:
        for name in node.output:
            if name and (name not in known or None in known[name]):
                raise GraphError(
                    f"{node.op_type} {node.name or name!r}: the shape of {name!r} depends on the data "
                    "and cannot be fixed; the Edge TPU needs static shapes"
                )
    for value in simple.graph.output:
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, known[value.name]))
    fixed: ModelProto = simple
    return fixed


def refuse_normalization(node: NodeProto) -> None:
    """GraphError where `node` computes statistics of its window, as no int8 encoder can."""
    if node.op_type in NORMALIZATIONS:
        raise GraphError(
            f"{node.op_type} {node.name or node.output[0]!r}: normalises by statistics of the window, which cannot be "
            "computed in int8; train with BatchNorm in its place"
        )


def plain_names(model: ModelProto) -> ModelProto:
    """Tensors renamed to letters, digits and what else TensorFlow keeps, each still with a name of its own.

    TensorFlow takes what follows a colon for the number of an output; onnx2tf then loses layouts.
    """
    taken: set[str] = set()
    mapping = {}
    for name in sorted(names(model) | tensors(model).keys()):
        base = plain = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name)
        number = 1
        while plain in taken:
            number += 1
            plain = f"{base}_{number}"
        taken.add(plain)
        mapping[name] = plain
    return rename(model, mapping)


def rename(model: ModelProto, mapping: Mapping[str, str]) -> ModelProto:
    """Tensors renamed everywhere."""
    model = copy(model)
    for node in model.graph.node:
        node.input[:] = [mapping.get(n, n) for n in node.input]
        node.output[:] = [mapping.get(n, n) for n in node.output]
    for item in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        item.name = mapping.get(item.name, item.name)
    return model


def permutation(node: NodeProto) -> Sequence[int]:
    """The axes of a Transpose."""
    found = attribute(node, "perm")
    return [] if found is None else found.ints


def attribute(node: NodeProto, name: str) -> AttributeProto | None:
    return next((a for a in node.attribute if a.name == name), None)


def copy(model: ModelProto) -> ModelProto:
    twin = ModelProto()
    twin.CopyFrom(model)
    return twin


def line(error: BaseException) -> str:
    return next((text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__)[:160]
