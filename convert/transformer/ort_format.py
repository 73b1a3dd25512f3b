"""ONNX Runtime's own file format (.ort), back to ONNX, and without dynamic quantization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convert.errors import GraphError
from convert.transformer import ort_file
from convert.transformer.ort_file import Attribute, Kind, Node, OrtGraph

Array = NDArray[np.generic]


def load(path: Path) -> ModelProto:
    """The model at `path` as ONNX, nodes in an order in which they can run.

    GraphError where it is no .ort file, is cut short, or holds what ONNX has no form for.
    """
    read = ort_file.read(path)
    try:
        graph = _graph(read.graph)
    except (ValueError, TypeError) as error:
        raise GraphError(f"{path}: damaged or cut short ({error!r}); fetch it again") from None
    used = {node.domain for node in _nodes(graph)}
    imports = [helper.make_opsetid(domain, version) for domain, version in read.opsets.items() if domain in used]
    return helper.make_model(graph, opset_imports=imports, ir_version=read.ir_version)


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


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes, those of subgraphs too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def _graph(graph: OrtGraph) -> GraphProto:
    return helper.make_graph(
        _sorted([_node(node) for node in graph.nodes]),
        "graph",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in graph.inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in graph.outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
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


def _node(node: Node) -> NodeProto:
    made = helper.make_node(node.op, node.inputs, node.outputs, name=node.name, domain=node.domain)
    made.attribute.extend(_attribute(name, attribute) for name, attribute in node.attributes.items())
    return made


def _attribute(name: str, attribute: Attribute) -> AttributeProto:
    value = attribute.value
    if attribute.kind == Kind.TENSOR:
        called, array = value
        value = numpy_helper.from_array(array, called)
    elif attribute.kind == Kind.GRAPH:
        value = _graph(value)
    return helper.make_attribute(name, value, attr_type=int(attribute.kind))
