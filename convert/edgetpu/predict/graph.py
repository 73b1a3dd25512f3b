"""Reads a TFLite file into the few things a mapping decision needs: tensors, operators, edges.

Slots follow `schema.fbs` of TensorFlow Lite; the tests compare every field with the schema module that
ai_edge_litert ships, which also gives the names of operators and element types.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from ai_edge_litert import schema_py_generated as schema

from convert.edgetpu.compiled.flatbuffer import FlatBuffer, Kind, MalformedFile, Table

IDENTIFIER = "TFL3"
MAX_RANK = 16
UNKNOWN = "UNKNOWN_"
COMPILED_OP = "edgetpu-custom-op"

# The options that rules look at: (name, slot, kind, default) of each field.
_Fields = tuple[tuple[str, int, Kind, int], ...]
_STRIDES: _Fields = (("padding", 0, "b", 0), ("stride_w", 1, "i", 0), ("stride_h", 2, "i", 0))
_RESIZE: _Fields = (("align_corners", 0, "?", 0), ("half_pixel_centers", 1, "?", 0))
_POOL: _Fields = (
    *_STRIDES,
    ("filter_width", 3, "i", 0),
    ("filter_height", 4, "i", 0),
    ("activation", 5, "b", 0),
)
_OPTIONS: Mapping[str, _Fields] = {
    "CONV_2D": (
        *_STRIDES,
        ("activation", 3, "b", 0),
        ("dilation_w", 4, "i", 1),
        ("dilation_h", 5, "i", 1),
    ),
    "DEPTHWISE_CONV_2D": (
        *_STRIDES,
        ("depth_multiplier", 3, "i", 0),
        ("activation", 4, "b", 0),
        ("dilation_w", 5, "i", 1),
        ("dilation_h", 6, "i", 1),
    ),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "FULLY_CONNECTED": (("activation", 0, "b", 0), ("weights_format", 1, "b", 0)),
    "CONCATENATION": (("axis", 0, "i", 0), ("activation", 1, "b", 0)),
    "PACK": (("values_count", 0, "i", 0), ("axis", 1, "i", 0)),
    "RESIZE_BILINEAR": (("align_corners", 2, "?", 0), ("half_pixel_centers", 3, "?", 0)),
    "RESIZE_NEAREST_NEIGHBOR": _RESIZE,
    "STRIDED_SLICE": (("ellipsis_mask", 2, "i", 0), ("new_axis_mask", 3, "i", 0)),
}


@dataclass(frozen=True)
class Tensor:
    """One tensor: `shape` as stored, `dtype` in TFLite's name, constant data if it has any."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool = False
    variable: bool = False
    dynamic: bool = False
    data: bytes | memoryview = field(default=b"", repr=False, compare=False)
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * _WIDTHS.get(self.dtype, 4)

    def integers(self) -> tuple[int, ...] | None:
        """The values of a constant int32 or int64 tensor (axes, shapes, sizes); None if it is not one."""
        width = {"INT32": 4, "INT64": 8}.get(self.dtype)
        if width is None or not 0 < len(self.data) <= MAX_RANK * 8 or len(self.data) % width:
            return None
        raw = bytes(self.data)
        return tuple(int.from_bytes(raw[i : i + width], "little", signed=True) for i in range(0, len(raw), width))


_WIDTHS = {
    "INT8": 1, "UINT8": 1, "BOOL": 1, "INT16": 2, "UINT16": 2, "FLOAT16": 2, "BFLOAT16": 2,
    "INT64": 8, "UINT64": 8, "FLOAT64": 8, "COMPLEX64": 8, "COMPLEX128": 16,
}  # fmt: skip


@dataclass(frozen=True)
class Op:
    """One operator; `inputs` holds None for an optional one left out. A custom op is named CUSTOM:<code>."""

    index: int
    name: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, int]
    custom_options: bytes | memoryview = field(default=b"", repr=False, compare=False)

    @property
    def present(self) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.inputs if tensor is not None)

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """Inputs that other operators or the caller compute, in contrast to constants and LSTM state."""
        return tuple(tensor for tensor in self.present if not tensor.constant and not tensor.variable)


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a TFLite file, in the file's operator order."""

    ops: tuple[Op, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int = 1

    @property
    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that an operator or the caller touches, each once."""
        seen: set[int] = set()
        groups = (self.inputs, self.outputs, *(op.present + op.outputs for op in self.ops))
        for tensor in (tensor for group in groups for tensor in group):
            if tensor.index not in seen:
                seen.add(tensor.index)
                yield tensor


def read(model: bytes) -> Graph:
    """Read the main subgraph of the TFLite file `model`.

    Raises MalformedFile, with one sentence, if it is not a TFLite file or its parts do not fit together.
    """
    root = FlatBuffer.of(model).root(IDENTIFIER)
    codes = [_operator_code(table) for table in root.tables(1)]
    buffers = [_buffer_data(table, memoryview(model)) for table in root.tables(4)]
    subgraphs = list(root.tables(2))
    if not subgraphs:
        raise MalformedFile("the file holds no subgraph, so there is nothing to run")
    main = subgraphs[0]
    tensors = tuple(_tensor(index, table, buffers) for index, table in enumerate(main.tables(0)))
    pick = _Picker(tensors)
    ops = tuple(_operator(index, table, codes, pick) for index, table in enumerate(main.tables(3)))
    return Graph(
        ops=ops,
        inputs=pick.required(main.integers(1, "i")),
        outputs=pick.required(main.integers(2, "i")),
        subgraphs=len(subgraphs),
    )


@dataclass(frozen=True)
class _Picker:
    tensors: tuple[Tensor, ...]

    def optional(self, indices: tuple[int, ...]) -> tuple[Tensor | None, ...]:
        return tuple(None if index == -1 else self._at(index) for index in indices)

    def required(self, indices: tuple[int, ...]) -> tuple[Tensor, ...]:
        return tuple(self._at(index) for index in indices)

    def _at(self, index: int) -> Tensor:
        if not 0 <= index < len(self.tensors):
            raise MalformedFile(f"an operator refers to tensor {index}, but there are {len(self.tensors)}")
        return self.tensors[index]


def _operator_code(table: Table) -> tuple[str, int]:
    # Files written before TFLite 2.4 fill only the deprecated byte; later ones write both.
    builtin = max(table.integer(0, "b"), table.integer(3, "i"))
    name = _enum_names("BuiltinOperator").get(builtin, f"{UNKNOWN}{builtin}")
    if name == "CUSTOM":
        name = f"CUSTOM:{table.text(1)}"
    return name, table.integer(2, "i", 1)


def _buffer_data(table: Table, model: memoryview) -> memoryview:
    offset, size = table.integer(1, "Q"), table.integer(2, "Q")
    if offset > 1:  # weights stored behind the FlatBuffer, in files over 2 GB
        if offset + size > len(model):
            raise MalformedFile(f"a weight buffer at byte {offset} lies outside the file")
        return model[offset : offset + size]
    return table.bytes(0) or memoryview(b"")


def _tensor(index: int, table: Table, buffers: list[memoryview]) -> Tensor:
    buffer_index = table.integer(2, "I")
    if buffer_index >= max(len(buffers), 1):
        raise MalformedFile(f"tensor {index} refers to buffer {buffer_index}, but there are {len(buffers)}")
    data = buffers[buffer_index] if buffers else memoryview(b"")
    shape = table.integers(0, "i")
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise MalformedFile(f"tensor {index} has the impossible shape {list(shape)}")
    quantization = table.table(4)
    return Tensor(
        index=index,
        name=table.text(3),
        dtype=_enum_names("TensorType").get(table.integer(1, "b"), "UNKNOWN"),
        shape=shape,
        constant=len(data) > 0,
        variable=bool(table.integer(5, "?")),
        dynamic=-1 in table.integers(7, "i"),
        data=data,
        scales=() if quantization is None else quantization.numbers(2, "f"),
        zero_points=() if quantization is None else quantization.integers(3, "q"),
    )


def _operator(index: int, table: Table, codes: list[tuple[str, int]], pick: _Picker) -> Op:
    code = table.integer(0, "I")
    if code >= len(codes):
        raise MalformedFile(f"operator {index} refers to operator code {code}, but there are {len(codes)}")
    name, version = codes[code]
    options = table.table(4)
    wanted = _OPTIONS.get(name, ())
    return Op(
        index=index,
        name=name,
        version=version,
        inputs=pick.optional(table.integers(1, "i")),
        outputs=pick.required(table.integers(2, "i")),
        options={
            key: default if options is None else options.integer(slot, kind, default)
            for key, slot, kind, default in wanted
        },
        custom_options=table.bytes(5) or b"",
    )


def builtin_code(name: str) -> int:
    """The number of builtin operator `name` in the schema; -1 if it is a custom operator."""
    if name.startswith(UNKNOWN):
        return int(name.removeprefix(UNKNOWN))
    return next((code for code, known in _enum_names("BuiltinOperator").items() if known == name), -1)


@cache
def _enum_names(enum: str) -> Mapping[int, str]:
    members = vars(getattr(schema, enum))
    return {value: name for name, value in members.items() if isinstance(value, int)}
