"""ONNX Runtime's own file format (.ort), read into plain Python and NumPy.

ONNX Runtime reads .ort files but writes none of their tensors out; its reader of the FlatBuffer schema comes with the
package, as onnxruntime.tools.ort_format_model. Nothing here needs the package onnx, which a Pi does not have.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import GraphError

IDENTIFIER = b"ORTM"  # at byte 4
SCHEMA = "onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs"
DTYPES: Mapping[int, type[np.generic]] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}
"""By ONNX's number of an element type."""

Array = NDArray[Any]


class Kind(IntEnum):
    """What an attribute holds, by ONNX's numbers."""

    FLOAT = 1
    INT = 2
    STRING = 3
    TENSOR = 4
    GRAPH = 5
    FLOATS = 6
    INTS = 7
    STRINGS = 8


@dataclass(frozen=True)
class Attribute:
    """An attribute of a node; a tensor is (name, array)."""

    kind: Kind
    value: Any


@dataclass(frozen=True)
class Node:
    """An operator; an input that is left out is ""."""

    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class OrtGraph:
    """A graph or subgraph; the order of its nodes is the file's, which none has to run in."""

    inputs: dict[
        str, int
    ]  # name -> number of the element type, 0 where the file has none; constants are not among them
    outputs: dict[str, int]
    constants: dict[str, Array]
    nodes: list[Node]


@dataclass(frozen=True)
class Model:
    """A file: its graph, and by which versions of the operators it goes."""

    graph: OrtGraph
    opsets: dict[str, int]  # domain -> version
    ir_version: int


def read(path: Path) -> Model:
    """The model at `path`; GraphError where it is no .ort file, is cut short, or holds what ONNX has no form for."""
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise GraphError(f"{path}: not an ONNX Runtime model (.ort); fetch it again")
    try:
        model = _schema("InferenceSession").GetRootAsInferenceSession(bytearray(content), 0).Model()
        opsets = [model.OpsetImport(i) for i in range(model.OpsetImportLength())]
        versions = {_text(opset.Domain()): int(opset.Version()) for opset in opsets}
        return Model(_graph(model.Graph()), versions, int(model.IrVersion()))
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise GraphError(f"{path}: damaged or cut short ({error!r}); fetch it again") from None


def _schema(name: str) -> Any:
    return getattr(importlib.import_module(f"{SCHEMA}.{name}"), name)


def _graph(graph: Any) -> OrtGraph:
    kinds = dict(_value(graph.NodeArgs(i)) for i in range(graph.NodeArgsLength()))
    names = {
        side: [_text(getattr(graph, side)(i)) for i in range(getattr(graph, f"{side}Length")())]
        for side in ("Inputs", "Outputs")
    }
    constants = dict(_tensor(graph.Initializers(i)) for i in range(graph.InitializersLength()))
    return OrtGraph(
        {name: kinds[name] for name in names["Inputs"] if name not in constants},
        {name: kinds[name] for name in names["Outputs"]},
        constants,
        [_node(graph.Nodes(i)) for i in range(graph.NodesLength())],
    )


def _node(node: Any) -> Node:
    return Node(
        _text(node.OpType()),
        _text(node.Domain()),
        _text(node.Name()),
        [_text(node.Inputs(i)) for i in range(node.InputsLength())],
        [_text(node.Outputs(i)) for i in range(node.OutputsLength())],
        dict(_attribute(node.Attributes(i)) for i in range(node.AttributesLength())),
    )


def _attribute(attribute: Any) -> tuple[str, Attribute]:
    read: dict[Kind, Any] = {
        Kind.FLOAT: lambda: attribute.F(),
        Kind.INT: lambda: attribute.I(),
        Kind.STRING: lambda: _text(attribute.S()),
        Kind.TENSOR: lambda: _tensor(attribute.T()),
        Kind.GRAPH: lambda: _graph(attribute.G()),
        Kind.FLOATS: lambda: [attribute.Floats(i) for i in range(attribute.FloatsLength())],
        Kind.INTS: lambda: [attribute.Ints(i) for i in range(attribute.IntsLength())],
        Kind.STRINGS: lambda: [_text(attribute.Strings(i)) for i in range(attribute.StringsLength())],
    }
    kind = Kind(attribute.Type())
    return _text(attribute.Name()), Attribute(kind, read[kind]())


def _tensor(tensor: Any) -> tuple[str, Array]:
    shape = tuple(tensor.Dims(i) for i in range(tensor.DimsLength()))
    raw = tensor.RawDataAsNumpy() if tensor.RawDataLength() else np.zeros(0, np.uint8)
    return _text(tensor.Name()), np.frombuffer(raw.tobytes(), DTYPES[tensor.DataType()]).reshape(shape)


def _value(value: Any) -> tuple[str, int]:
    """Name and element type; shapes of .ort files are of no use here."""
    info = value.Type()
    table = None if info is None else info.Value()
    if table is None:
        return _text(value.Name()), 0
    typed = _schema("TensorTypeAndShape")()
    typed.Init(table.Bytes, table.Pos)
    return _text(value.Name()), int(typed.ElemType())


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
