"""Float constants out of ONNX Runtime's own file format (.ort), by its reader of the FlatBuffer schema alone.

What a machine without onnx needs of a source; ort_format.py reads the whole graph.
"""

from __future__ import annotations

import importlib
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import GraphError
from models.moonshine import Float

IDENTIFIER = b"ORTM"  # at byte 4
SCHEMA = "onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs"
DAMAGED = (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError, UnicodeDecodeError)
"""What the reader raises for a file that is damaged or cut short."""
FLOAT = 1  # TensorProto.FLOAT


@dataclass(frozen=True)
class Constants:
    """Constants of a graph by their name, or by that of what is computed from them."""

    floats: Mapping[str, Float]
    reads: Mapping[str, tuple[str, ...]]  # a node's output -> its inputs

    def layers(self) -> int:
        """How many layers the graph computes."""
        return layers(self.reads)

    def constant(self, name: str) -> Float:
        """The constant called `name`; GraphError if there is none."""
        if name not in self.floats:
            raise GraphError(f"the encoder has no tensor {name!r}; is it Moonshine's?")
        return self.floats[name]

    def operand(self, output: str) -> Float:
        """The one float constant that the node reads which computes `output`; GraphError if there is another number."""
        return self.constant(only([name for name in self.reads.get(output, ()) if name in self.floats], output))


def load(path: Path) -> Constants:
    """The constants of the file at `path`; GraphError where it is no .ort file or is cut short."""
    try:
        graph = session(path).Model().Graph()
        nodes = [graph.Nodes(i) for i in range(graph.NodesLength())]
        reads = {
            node.Outputs(i).decode(): tuple(node.Inputs(k).decode() for k in range(node.InputsLength()))
            for node in nodes
            for i in range(node.OutputsLength())
        }
        tensors = [graph.Initializers(i) for i in range(graph.InitializersLength())]
        floats = {tensor.Name().decode(): _array(tensor) for tensor in tensors if tensor.DataType() == FLOAT}
    except DAMAGED as error:
        raise GraphError(f"{path}: damaged or cut short ({error!r}); fetch it again") from None
    return Constants(floats, reads)


def session(path: Path) -> Any:
    """The root of the FlatBuffer at `path`; GraphError where it is no .ort file. Reading it may raise DAMAGED."""
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise GraphError(f"{path}: not an ONNX Runtime model (.ort); fetch it again")
    return schema("InferenceSession").GetRootAsInferenceSession(bytearray(content), 0)


def schema(name: str) -> Any:
    """The class that reads tables of the kind `name`."""
    return getattr(importlib.import_module(f"{SCHEMA}.{name}"), name)


def layers(outputs: Iterable[str]) -> int:
    """How many layers there are, by the names of what a graph computes; 0 for another network than Moonshine's.

    >>> layers(["/layers.0/mlp/Add_output_0", "/layers.1/mlp/Add_output_0", "/conv1/Conv_output_0"])
    2
    """
    return 1 + max((int(found[1]) for name in outputs if (found := re.match(r"/layers\.(\d+)/", name))), default=-1)


def only(names: list[str], what: str) -> str:
    """The one name in a list; GraphError if there is another number of them."""
    if len(names) != 1:
        raise GraphError(f"the encoder has {len(names)} weights for {what!r} in place of one; is it Moonshine's?")
    return names[0]


def _array(tensor: Any) -> Float:
    shape = tuple(tensor.Dims(i) for i in range(tensor.DimsLength()))
    raw = tensor.RawDataAsNumpy() if tensor.RawDataLength() else np.zeros(0, np.uint8)
    return np.frombuffer(raw.tobytes(), np.float32).reshape(shape)
