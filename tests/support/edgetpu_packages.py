"""Builds small compiled models with the flatbuffers library, for tests: the same layout, made-up content."""

from __future__ import annotations

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

STAND_ALONE, PARAMETER_CACHING, EXECUTION_ONLY = 0, 1, 2
Slots = dict[int, tuple[str, float | int | None]]


@dataclass(frozen=True)
class LayerSpec:
    """A layer to write; `tile_grid` (rows, columns) writes an output's tile map."""

    name: str
    shape: tuple[int, int, int]
    dtype: int = 8
    zero_point: int = 128
    scale: float = 0.5
    tile_grid: tuple[int, int] | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class ExecutableSpec:
    """An executable to write: sizes in bytes."""

    type: int
    instructions: tuple[int, ...] = (64,)
    parameters: int = 0
    inputs: tuple[LayerSpec, ...] = ()
    outputs: tuple[LayerSpec, ...] = ()
    narrow: int = 4096
    token: int = 1
    cycles: int = 0


INPUT = LayerSpec("window", (1, 32, 8))
OUTPUT = LayerSpec("hidden", (1, 32, 8), tile_grid=(1, 4))
CACHED = ExecutableSpec(PARAMETER_CACHING, (32,), 256)
RUN = ExecutableSpec(EXECUTION_ONLY, (64, 48), 0, (INPUT,), (OUTPUT,))


@dataclass(frozen=True)
class PackageSpec:
    """A package to write into one custom operator."""

    executables: tuple[ExecutableSpec, ...] = (RUN, CACHED)
    minimum_runtime: int = 14
    compiler: str = "cl/"
    identifier: bytes = b"DWN1"
    chips: tuple[int, ...] = field(default=(18,))


def compiled_model(
    spec: PackageSpec = PackageSpec(),
    cpu_ops: tuple[str, ...] = (),
    cpu_outputs: tuple[str, ...] = (),
    shape: tuple[int, ...] = (1, 1, 32, 8),
) -> bytes:
    """A TFLite file with one Edge TPU operator holding `spec`, followed by `cpu_ops` making `cpu_outputs`."""
    model = schema.ModelT()
    model.version, model.description = 3, "Exported from Subgraph."
    model.buffers = [schema.BufferT()]
    names = ["edgetpu-custom-op", *cpu_ops]
    model.operatorCodes, operators = [], []
    for position, name in enumerate(names):
        code = schema.OperatorCodeT()
        builtin = schema.BuiltinOperator.CUSTOM if position == 0 else getattr(schema.BuiltinOperator, name)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        code.customCode = name if position == 0 else None
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = position, [position], [position + 1]
        operators.append(operator)
    operators[0].customOptions = np.frombuffer(custom_options(spec), np.uint8)
    graph = schema.SubGraphT()
    graph.inputs, graph.outputs, graph.operators = [0], [len(names)], operators
    made = cpu_outputs or tuple(f"made{i}" for i in range(len(cpu_ops)))
    graph.tensors = [_tensor(name, shape) for name in ("window", "region", *made)]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def relu_model(shape: tuple[int, ...] = (1, 1, 32, 8)) -> bytes:
    """An ordinary int8 TFLite file of one RELU: what the faulty delegate does with `compiled_model()`."""
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 2
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [_tensor("window", shape), _tensor("hidden", shape)]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.buffers = 3, [schema.BufferT()]
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def custom_options(spec: PackageSpec) -> bytes:
    """The FlexBuffer map of the custom operator."""
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", 1)
        builder.Key("4")
        builder.String(_Raw(package(spec)))
        builder.Int("5", -1)
        if spec.chips:
            builder.VectorFromElements("6", list(spec.chips))
    return bytes(builder.Finish())


def package(spec: PackageSpec) -> bytes:
    """The DWN1 FlatBuffer."""
    builder = flatbuffers.Builder(1024)
    bundle = flatbuffers.Builder(1024)
    blobs = [bundle.CreateString(executable(item)) for item in spec.executables]
    bundle.Finish(_table(bundle, {0: ("offset", _offsets(bundle, blobs))}))
    multi = builder.CreateByteVector(bytes(bundle.Output()))
    compiler = builder.CreateString(spec.compiler)
    root = _table(builder, {0: ("i", spec.minimum_runtime), 1: ("offset", multi), 4: ("offset", compiler)})
    builder.Finish(root, spec.identifier)
    return bytes(builder.Output())


def executable(spec: ExecutableSpec) -> bytes:
    """One Executable FlatBuffer."""
    builder = flatbuffers.Builder(1024)
    streams = []
    for size in spec.instructions:
        stream = builder.CreateByteVector(bytes(size))
        streams.append(_table(builder, {0: ("offset", stream)}))
    slots: Slots = {
        5: ("offset", _offsets(builder, streams)),
        7: ("offset", _hints(builder, spec)),
        8: ("offset", _offsets(builder, [_layer(builder, layer) for layer in spec.inputs])),
        9: ("offset", _offsets(builder, [_layer(builder, layer) for layer in spec.outputs])),
        12: ("i", spec.narrow),
        13: ("h", spec.type),
        14: ("Q", spec.token),
        16: ("q", spec.cycles),
    }
    if spec.parameters:
        slots[6] = ("offset", builder.CreateByteVector(bytes(spec.parameters)))
    builder.Finish(_table(builder, slots))
    return bytes(builder.Output())


def _hints(builder: flatbuffers.Builder, spec: ExecutableSpec) -> int:
    hints = []
    for chunk in range(len(spec.instructions)):
        hints.append((2, _table(builder, {0: ("i", chunk)})))
    if spec.parameters:
        meta = _table(builder, {0: ("h", 2)})
        hints.append((1, _table(builder, {0: ("offset", meta), 2: ("i", spec.parameters)})))
    tables = [_table(builder, {0: ("B", kind), 1: ("offset", detail)}) for kind, detail in hints]
    return _table(builder, {0: ("offset", _offsets(builder, tables)), 1: ("?", 1)})


def _layer(builder: flatbuffers.Builder, spec: LayerSpec) -> int:
    y, x, z = spec.shape
    size = y * x * (-(-z // 4) * 4) if spec.size_bytes is None else spec.size_bytes
    name = builder.CreateString(spec.name)
    numerics = _table(builder, {0: ("i", spec.zero_point), 1: ("f", spec.scale)})
    slots: Slots = {
        0: ("offset", name), 1: ("i", size), 2: ("i", y), 3: ("i", x), 4: ("i", z),
        5: ("offset", numerics), 6: ("h", spec.dtype),
    }  # fmt: skip
    if spec.tile_grid:
        rows, columns = spec.tile_grid
        down = builder.CreateNumpyVector(np.array([i * rows // y * columns for i in range(y)], np.int32))
        across = builder.CreateNumpyVector(np.array([i * columns // x for i in range(x)], np.int32))
        layout = _table(builder, {0: ("offset", down), 1: ("offset", across)})
        slots |= {7: ("B", 1), 8: ("offset", _table(builder, {0: ("offset", layout)}))}
    return _table(builder, slots)


def _table(builder: flatbuffers.Builder, slots: Slots) -> int:
    builder.StartObject(max(slots) + 1)
    write = {
        "i": builder.PrependInt32Slot, "h": builder.PrependInt16Slot, "Q": builder.PrependUint64Slot,
        "q": builder.PrependInt64Slot, "B": builder.PrependUint8Slot, "?": builder.PrependBoolSlot,
        "f": builder.PrependFloat32Slot, "offset": builder.PrependUOffsetTRelativeSlot,
    }  # fmt: skip
    for slot, (kind, value) in slots.items():
        write[kind](slot, value, 0)
    return int(builder.EndObject())


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _tensor(name: str, shape: tuple[int, ...] = (1, 1, 32, 8)) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), schema.TensorType.INT8, 0
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [0.5], [0]
    return tensor


class _Raw(bytes):
    """Bytes that the FlexBuffer builder takes as a string, as libedgetpu writes the package."""

    def encode(self, *_: object) -> bytes:
        return self
