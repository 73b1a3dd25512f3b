"""ONNX Runtime's own file format (.ort), back to ONNX, and without dynamic quantization.

ONNX Runtime reads .ort files but writes none of their tensors out; its reader of the FlatBuffer schema comes with the
package, as onnxruntime.tools.ort_format_model (ort_constants.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from convert.errors import GraphError
from convert.transformer import ort_constants

Array = NDArray[np.generic]


def load(path: Path) -> ModelProto:
    """The model at `path` as ONNX, nodes in an order in which they can run.

    GraphError where it is no .ort file, is cut short, or holds what ONNX has no form for.
    """
    try:
        return _model(ort_constants.session(path).Model())
    except ort_constants.DAMAGED as error:
        raise GraphError(f"{path}: damaged or cut short ({error!r}); fetch it again") from None


def dequantized(model: ModelProto) -> ModelProto:
    """`model` with its dynamically quantized matrix products in float32, their weights dequantized.

    Only the rounding of weights remains, that of activations is gone. GraphError for a product whose weights are not
    constant.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    nodes: list[NodeProto] = []
    weights: dict[str, Array] = {}
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            nodes.append(node)
            continue
        source, weight, bias = _product(node, producers)
        if weight not in constants:
            raise GraphError(f"{node.op_type} {node.name!r}: its weights {weight!r} are not constant")
        weights[weight] = _float(weight, node, constants)
        product = f"{node.output[0]} product" if bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [source, f"{weight} float"], [product], name=node.name))
        if bias:
            nodes.append(helper.make_node("Add", [product, bias], [node.output[0]], name=f"{node.name} bias"))
    twin = ModelProto()
    twin.CopyFrom(model)
    del twin.graph.node[:]
    twin.graph.node.extend(_needed(nodes, {value.name for value in model.graph.output}))
    used = {name for node in twin.graph.node for name in _inputs(node)}
    twin.graph.initializer.extend(numpy_helper.from_array(value, f"{name} float") for name, value in weights.items())
    kept = [tensor for tensor in twin.graph.initializer if tensor.name in used]
    del twin.graph.initializer[:]
    twin.graph.initializer.extend(kept)
    return twin


PRODUCTS = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
"""ONNX Runtime's products of an activation, quantized on the way in, and uint8 or int8 weights.

MatMulIntegerToFloat: a, b, a scale, b scale, a zero point, b zero point, bias; a comes from a DynamicQuantizeLinear.
DynamicQuantizeMatMul: a in float, b, b scale, b zero point, bias.
"""


def _product(node: NodeProto, producers: dict[str, NodeProto]) -> tuple[str, str, str]:
    """(float activation, weight, bias or "") of a quantized product."""
    given = [*node.input, "", "", ""]
    if node.op_type == "DynamicQuantizeMatMul":
        return given[0], given[1], given[4]
    quantizer = producers.get(given[0])
    if quantizer is None or quantizer.op_type != "DynamicQuantizeLinear":
        raise GraphError(f"{node.op_type} {node.name!r}: its input {given[0]!r} is not quantized dynamically")
    return quantizer.input[0], given[1], given[6]


def _float(weight: str, node: NodeProto, constants: dict[str, TensorProto]) -> Array:
    first = 2 if node.op_type == "DynamicQuantizeMatMul" else 3
    scale, zero = node.input[first], node.input[3 if node.op_type == "DynamicQuantizeMatMul" else 5]
    value = numpy_helper.to_array(constants[weight]).astype(np.float32)
    offset = numpy_helper.to_array(constants[zero]).astype(np.float32) if zero else np.float32(0)
    return np.asarray((value - offset) * numpy_helper.to_array(constants[scale]), np.float32)


def _needed(nodes: Iterable[NodeProto], wanted: set[str]) -> list[NodeProto]:
    """The nodes that `wanted` depends on, in the same order."""
    kept = []
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            kept.append(node)
            wanted = wanted | set(_inputs(node))
    return kept[::-1]


def _inputs(node: NodeProto) -> Iterator[str]:
    """What a node reads, and its subgraphs read from around them."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            inside = attribute.g
            own = {tensor.name for tensor in inside.initializer} | {name for n in inside.node for name in n.output}
            read = [*(name for n in inside.node for name in _inputs(n)), *(value.name for value in inside.output)]
            yield from (name for name in read if name not in own)


def _model(model: Any) -> ModelProto:
    graph = _graph(model.Graph())
    opsets = [model.OpsetImport(i) for i in range(model.OpsetImportLength())]
    used = {node.domain for node in _nodes(graph)}
    imports = [helper.make_opsetid(_text(o.Domain()), o.Version()) for o in opsets if _text(o.Domain()) in used]
    return helper.make_model(graph, opset_imports=imports, ir_version=model.IrVersion())


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, those of subgraphs too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def _graph(graph: Any) -> GraphProto:
    values = {}
    for i in range(graph.NodeArgsLength()):
        value = _value(graph.NodeArgs(i))
        values[value.name] = value
    names = {
        kind: [_text(getattr(graph, kind)(i)) for i in range(getattr(graph, f"{kind}Length")())]
        for kind in ("Inputs", "Outputs")
    }
    constants = [_tensor(graph.Initializers(i)) for i in range(graph.InitializersLength())]
    nodes = [_node(graph.Nodes(i)) for i in range(graph.NodesLength())]
    known = {tensor.name for tensor in constants}
    return helper.make_graph(
        _sorted(nodes),
        "graph",
        [values[name] for name in names["Inputs"] if name not in known],
        [values[name] for name in names["Outputs"]],
        constants,
    )


def _sorted(nodes: list[NodeProto]) -> list[NodeProto]:
    """Each node behind those that it depends on."""
    made = {name for node in nodes for name in node.output}
    waiting, done, order = list(nodes), set[str](), list[NodeProto]()
    while waiting:
        ready = [node for node in waiting if all(name in done or name not in made for name in _inputs(node))]
        if not ready:
            raise ValueError(f"{waiting[0].name} waits for itself")
        order += ready
        done |= {name for node in ready for name in node.output}
        taken = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in taken]
    return order


def _node(node: Any) -> NodeProto:
    made = helper.make_node(
        _text(node.OpType()),
        [_text(node.Inputs(i)) for i in range(node.InputsLength())],
        [_text(node.Outputs(i)) for i in range(node.OutputsLength())],
        name=_text(node.Name()),
        domain=_text(node.Domain()),
    )
    made.attribute.extend(_attribute(node.Attributes(i)) for i in range(node.AttributesLength()))
    return made


def _attribute(attribute: Any) -> AttributeProto:
    kind, name = attribute.Type(), _text(attribute.Name())
    read: dict[int, Any] = {
        AttributeProto.FLOAT: lambda: attribute.F(),
        AttributeProto.INT: lambda: attribute.I(),
        AttributeProto.STRING: lambda: _text(attribute.S()),
        AttributeProto.TENSOR: lambda: _tensor(attribute.T()),
        AttributeProto.GRAPH: lambda: _graph(attribute.G()),
        AttributeProto.FLOATS: lambda: [attribute.Floats(i) for i in range(attribute.FloatsLength())],
        AttributeProto.INTS: lambda: [attribute.Ints(i) for i in range(attribute.IntsLength())],
        AttributeProto.STRINGS: lambda: [_text(attribute.Strings(i)) for i in range(attribute.StringsLength())],
    }
    return helper.make_attribute(name, read[kind](), attr_type=kind)


def _tensor(tensor: Any) -> TensorProto:
    shape = tuple(tensor.Dims(i) for i in range(tensor.DimsLength()))
    dtype = helper.tensor_dtype_to_np_dtype(tensor.DataType())
    raw = tensor.RawDataAsNumpy() if tensor.RawDataLength() else np.zeros(0, np.uint8)
    return numpy_helper.from_array(np.frombuffer(raw.tobytes(), dtype).reshape(shape), _text(tensor.Name()))


def _value(value: Any) -> ValueInfoProto:
    """Name and element type; shapes of .ort files are of no use here."""
    info = value.Type()
    table = None if info is None else info.Value()
    kind = TensorProto.UNDEFINED
    if table is not None:
        typed = ort_constants.schema("TensorTypeAndShape")()
        typed.Init(table.Bytes, table.Pos)
        kind = typed.ElemType()
    return helper.make_tensor_value_info(_text(value.Name()), kind, None)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
