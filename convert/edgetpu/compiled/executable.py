"""Reads what Google's compiler put into a *_edgetpu.tflite: programs, what they cache, stream and transfer.

A compiled file is a TFLite file whose accelerated regions are custom operators; each carries a FlexBuffer map
(libedgetpu, tflite/custom_op_data.cc) with a FlatBuffer package of file id DWN1 (executable/executable.fbs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from convert.edgetpu.compiled.flatbuffer import Allowance, FlatBuffer, MalformedFile, Table
from convert.edgetpu.compiled.flexbuffer import read_map
from convert.edgetpu.predict import graph
from convert.edgetpu.predict.checks import NARROW_BYTES_PER_TILE, TILES

IDENTIFIER = "DWN1"
PACKAGE_KEY, CHIPS_KEY = "4", "6"
CHIPS = {18: "beagle (Edge TPU)"}
TYPES = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")
LEGAL_SETS = (["STAND_ALONE"], ["EXECUTION_ONLY", "PARAMETER_CACHING"], sorted(TYPES))
"""What the driver accepts in one package (libedgetpu, driver/package_registry.cc)."""

PARAMETERS = 2  # Description.BASE_ADDRESS_PARAMETER
DATA_TYPES = {
    0: ("FIXED_POINT8", 1),
    1: ("FIXED_POINT16", 2),
    2: ("SIGNED_FIXED_POINT32", 4),
    3: ("BFLOAT", 2),
    4: ("HALF", 2),
    5: ("SINGLE", 4),
    8: ("SIGNED_FIXED_POINT8", 1),
    9: ("SIGNED_FIXED_POINT16", 2),
}


class NotCompiled(ValueError):
    """A good TFLite file without an Edge TPU executable in it."""


@dataclass(frozen=True)
class ExecutableLayer:
    """An input or output: `shape` is (y, x, z), `size_bytes` includes padding.

    A real value is (stored - zero_point) * scale. Signed tensors are stored with the sign bit flipped, so
    their `zero_point` is TFLite's plus 128. `tiles` is how many of the chip's 16 tiles hold an output; None
    for inputs, and for outputs without a tile map.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: str
    size_bytes: int
    zero_point: int
    scale: float
    tiles: int | None = None
    executions: int = 1

    @property
    def transfer_bytes(self) -> int:
        return self.size_bytes * self.executions


@dataclass(frozen=True)
class Executable:
    """One program for the chip; `type` is STAND_ALONE, PARAMETER_CACHING or EXECUTION_ONLY."""

    type: str
    instruction_bytes: tuple[int, ...]
    parameter_bytes: int
    scratch_bytes: int
    narrow_bytes_per_tile: int
    estimated_cycles: int
    caching_token: int
    inputs: tuple[ExecutableLayer, ...]
    outputs: tuple[ExecutableLayer, ...]
    transfers: int
    deterministic: bool


@dataclass(frozen=True)
class Region:
    """One accelerated part of the graph, operator `op` of the compiled file."""

    op: int
    minimum_runtime: int
    compiler: str
    chips: tuple[str, ...]
    package_bytes: int
    executables: tuple[Executable, ...]

    @property
    def running(self) -> tuple[Executable, ...]:
        """The executables of an inference: all but the one that only fills the cache."""
        return tuple(item for item in self.executables if item.type != "PARAMETER_CACHING")

    @property
    def cached_bytes(self) -> int:
        """Parameter bytes kept on the chip between calls."""
        return sum(item.parameter_bytes for item in self.executables if item.type == "PARAMETER_CACHING")

    @property
    def streamed_bytes(self) -> int:
        """Parameter bytes sent on every call."""
        return sum(item.parameter_bytes for item in self._call)

    @property
    def instruction_bytes(self) -> int:
        return sum(sum(item.instruction_bytes) for item in self._call)

    @property
    def input_bytes(self) -> int:
        return sum(layer.transfer_bytes for item in self._call for layer in item.inputs)

    @property
    def output_bytes(self) -> int:
        return sum(layer.transfer_bytes for item in self._call for layer in item.outputs)

    @property
    def usb_bytes(self) -> int:
        """What crosses USB on each call once the cache is filled."""
        return self.instruction_bytes + self.input_bytes + self.streamed_bytes + self.output_bytes

    @property
    def _call(self) -> tuple[Executable, ...]:
        # With all three types present, STAND_ALONE is the uncached alternative to EXECUTION_ONLY.
        only = tuple(item for item in self.running if item.type == "EXECUTION_ONLY")
        return only or self.running


@dataclass(frozen=True)
class CompiledModel:
    """A compiled file: its accelerated regions and the operators left to the CPU."""

    regions: tuple[Region, ...]
    cpu_ops: tuple[str, ...]

    def warnings(self) -> Iterator[str]:
        """What makes this model slower than it need be, one sentence each."""
        for region in self.regions:
            where = f"region at op {region.op}"
            if region.streamed_bytes > 16_384:
                yield (
                    f"{where} streams {region.streamed_bytes:,} bytes of weights on every call: make the "
                    "model smaller, or pool before a fully connected layer with few outputs"
                )
            for layer in (layer for item in region._call for layer in item.outputs):
                if layer.tiles is not None and layer.tiles < TILES // 2 and layer.size_bytes >= 4096:
                    yield (
                        f"{where}: output '{layer.name}' {layer.shape} lies on {layer.tiles} of {TILES} "
                        "tiles: a single row uses at most 4"
                    )
            for item in region._call:
                if item.narrow_bytes_per_tile > 0.95 * NARROW_BYTES_PER_TILE:
                    used = item.narrow_bytes_per_tile
                    yield f"{where} uses {used:,} of each tile's {NARROW_BYTES_PER_TILE:,} bytes: nearly full"
        if self.cpu_ops:
            yield f"{len(self.cpu_ops)} operators run on the CPU: {', '.join(self.cpu_ops)}"


def read(model: bytes) -> CompiledModel:
    """Read the compiled model `model`.

    Raises MalformedFile with one sentence for any file whose parts do not fit together, NotCompiled for a
    TFLite file that holds no Edge TPU executable.
    """
    main = graph.read(model)
    compiled = [op for op in main.ops if op.name == f"CUSTOM:{graph.COMPILED_OP}"]
    if not compiled:
        raise NotCompiled(
            "the file holds no Edge TPU executable: compile it first, or see which of its operators would be "
            "mapped with `python -m convert.edgetpu check`"
        )
    allowance = Allowance(len(model))
    return CompiledModel(
        regions=tuple(_region(op.index, memoryview(op.custom_options), allowance) for op in compiled),
        cpu_ops=tuple(op.name for op in main.ops if op not in compiled),
    )


def _region(op: int, options: memoryview, allowance: Allowance) -> Region:
    fields = read_map(options, allowance)
    package, chips = fields.get(PACKAGE_KEY), fields.get(CHIPS_KEY, ())
    if not isinstance(package, memoryview) or not isinstance(chips, tuple):
        raise MalformedFile("the Edge TPU operator's options hold no package")
    root = FlatBuffer(package, allowance).root(IDENTIFIER)
    blob = root.bytes(1)
    if blob is None:
        raise MalformedFile("the package holds no executables")
    bundle = FlatBuffer(blob, allowance).root(None)
    executables = tuple(_executable(item, allowance) for item in islice(bundle.blobs(0), len(TYPES) + 1))
    types = sorted(item.type for item in executables)
    if types not in LEGAL_SETS:
        raise MalformedFile(f"the package holds {', '.join(types) or 'no executables'}, which no driver accepts")
    return Region(
        op=op,
        minimum_runtime=_within("minimum runtime version", root.integer(0, "i"), 1, 1000),
        compiler=root.text(4),
        chips=tuple(CHIPS.get(chip, str(chip)) for chip in chips if isinstance(chip, int)),
        package_bytes=len(package),
        executables=executables,
    )


def _executable(blob: memoryview, allowance: Allowance) -> Executable:
    root = FlatBuffer(blob, allowance).root(None)
    kind = _within("executable type", root.integer(13, "h"), 0, len(TYPES) - 1)
    instructions = tuple(len(table.bytes(0) or b"") for table in root.tables(5))
    if not instructions or any(size == 0 or size % 16 for size in instructions):
        raise MalformedFile(f"instruction streams of {list(instructions)} bytes are not whole 16-byte words")
    parameters = len(root.bytes(6) or b"")
    cycles = root.integer(16, "q") or root.integer(11, "i")
    hints = root.table(7)
    return Executable(
        type=TYPES[kind],
        instruction_bytes=instructions,
        parameter_bytes=parameters,
        scratch_bytes=_within("scratch size", root.integer(4, "i"), 0, 1 << 30),
        narrow_bytes_per_tile=_within("narrow memory per tile", root.integer(12, "i"), 0, NARROW_BYTES_PER_TILE),
        estimated_cycles=_within("cycle count", cycles, 0, 1 << 50),
        caching_token=root.integer(14, "Q"),
        inputs=tuple(map(_layer, root.tables(8))),
        outputs=tuple(map(_layer, root.tables(9))),
        transfers=0 if hints is None else _transfers(hints, len(instructions), parameters),
        deterministic=hints is not None and bool(hints.integer(1, "?")),
    )


def _transfers(hints: Table, chunks: int, parameters: int) -> int:
    """The number of planned transfers, each checked to stay inside what it transfers."""
    count = 0
    for hint in hints.tables(0):
        count += 1
        kind, detail = hint.integer(0, "B"), hint.table(1)
        if detail is None or kind not in (1, 2, 3, 4):
            raise MalformedFile(f"planned transfer {count} is of the unknown kind {kind}")
        if kind == 1:
            offset, size, meta = detail.integer(1, "i"), detail.integer(2, "i"), detail.table(0)
            end = parameters if meta is not None and meta.integer(0, "h") == PARAMETERS else 1 << 30
            if offset < 0 or size < 0 or offset + size > end:
                raise MalformedFile(f"planned transfer {count} covers bytes {offset} to {offset + size}")
        elif kind == 2:
            _within("instruction chunk of a transfer", detail.integer(0, "i"), 0, chunks - 1)
    return count


def _layer(table: Table) -> ExecutableLayer:
    name = table.text(0)
    code = table.integer(6, "h")
    if code not in DATA_TYPES:
        raise MalformedFile(f"layer '{name}' has the unknown data type {code}")
    dtype, width = DATA_TYPES[code]
    y, x, z = (_within(f"dimension of layer '{name}'", table.integer(slot, "i"), 1, 1 << 24) for slot in (2, 3, 4))
    size = table.integer(1, "i")
    least = y * x * z * width
    if not least <= size <= 64 * least + 4096:
        raise MalformedFile(f"layer '{name}' claims {size} bytes for {y} x {x} x {z} of {dtype}")
    numerics = table.table(5)
    zero_point = 0 if numerics is None else numerics.integer(0, "i")
    scale = 0.0 if numerics is None else numerics.number(1, "f")
    if not math.isfinite(scale) or scale < 0 or not -(1 << 16) <= zero_point <= 1 << 16:
        raise MalformedFile(f"layer '{name}' has the impossible scale {scale} or zero point {zero_point}")
    return ExecutableLayer(
        name=name,
        shape=(y, x, z),
        dtype=dtype,
        size_bytes=size,
        zero_point=zero_point,
        scale=scale,
        tiles=_tiles(table),
        executions=_within(f"executions of layer '{name}'", table.integer(9, "i", 1), 1, 1 << 20),
    )


def _tiles(layer: Table) -> int | None:
    """Tiles that hold an output: rows times columns of its tile map (OutputLayout)."""
    any_layer = layer.table(8) if layer.integer(7, "B") == 1 else None
    layout = None if any_layer is None else any_layer.table(0)
    if layout is None:
        return None
    rows, columns = set(layout.integers(0, "i")), set(layout.integers(1, "i"))
    return len(rows) * len(columns) or None


def _within(what: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise MalformedFile(f"the {what} is {value}, outside {least} to {most}")
    return value
