"""Estimates what a mapped region costs: memory on the chip, bytes over USB, the least time a call can take.

Every estimate is a range, because the compiler's padding and instruction counts are not published. The
ranges hold for the eight compiled pairs (`python -m tests.support.edgetpu_agreement ../shared/edgetpu` prints each
one beside the compiler's figure) and for the calibrations named below; for other models they are a guess of
that quality.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convert.edgetpu.predict.checks import NARROW_BYTES_PER_TILE
from convert.edgetpu.predict.graph import Graph, Op, Tensor

MIB = 1 << 20
CACHE_BYTES = (int(6.89 * MIB), int(7.88 * MIB))
"""Room for parameters, least and most, in the logs of compilers 15 and 16."""

USB3_TO_DEVICE = (280e6, 370e6)
USB3_FROM_DEVICE = (43e6, 45e6)
USB2 = (34e6, 44e6)
"""Bytes a second, least and most: usbmon traces of iwatake2222/EdgeTPU_Analysis; USB 2 from inception_v4's
and edgetpu-tcn's published times."""

FIXED_SECONDS = 0.27e-3
"""Time of a call whose weights are all cached, whatever its size (LibrEdgeTPU, HARDWARE_ANALYSIS 19)."""

MACS_PER_SECOND = (1.01e12, 2.0e12)
"""Measured on 7x7 convolutions of 32 channels (the same traces), and the 4 TOPS that the chip claims."""

STREAMED_OUTPUTS, STREAMED_INPUTS = 8, 16_384
"""A fully connected op with so few outputs and so many inputs is streamed although the cache is empty."""


@dataclass(frozen=True)
class Estimate:
    """A quantity that, as far as was measured, lies between `low` and `high`; `likely` is the best guess."""

    low: float
    likely: float
    high: float
    unit: str

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.likely + other.likely, self.high + other.high, self.unit)


@dataclass(frozen=True)
class Budget:
    """What the mapped region costs; `parameters` covers all weights, all other bytes are those of one call.

    `fits_on_chip` and `activations_fit` are "yes", "probably", "uncertain" or "no".
    """

    parameters: Estimate
    fits_on_chip: str
    instructions: Estimate
    inputs: Estimate
    outputs: Estimate
    streamed: Estimate
    usb_bytes: Estimate
    activations_per_tile: Estimate
    activations_fit: str
    latency_usb3: Estimate
    latency_usb2: Estimate
    macs: int
    warnings: tuple[str, ...]


def estimate(graph: Graph, region: frozenset[int]) -> Budget:
    """Estimate the cost of running the ops of `region` as one Edge TPU executable."""
    ops = [op for op in graph.ops if op.index in region]
    parameters = _total(parameter_bytes(op) for op in ops)
    streamed = _streamed(ops, parameters)
    inputs, outputs = _borders(graph, ops)
    instructions = _instruction_bytes(ops)
    narrow = _activations_per_tile(ops)
    to_device = instructions + inputs + streamed
    macs = sum(multiply_accumulates(op) for op in ops)
    return Budget(
        parameters=parameters,
        fits_on_chip="no" if streamed.low > 0 else fits(parameters, CACHE_BYTES),
        instructions=instructions,
        inputs=inputs,
        outputs=outputs,
        streamed=streamed,
        usb_bytes=to_device + outputs,
        activations_per_tile=narrow,
        activations_fit=fits(narrow, (NARROW_BYTES_PER_TILE, NARROW_BYTES_PER_TILE)),
        latency_usb3=_latency(to_device, outputs, macs, USB3_TO_DEVICE, USB3_FROM_DEVICE),
        latency_usb2=_latency(to_device, outputs, macs, USB2, USB2),
        macs=macs,
        warnings=tuple(_warnings(ops, narrow)),
    )


def parameter_bytes(op: Op) -> Estimate:
    """Bytes that an op's constants take on the device, with 8 bytes of scaling for each output.

    Outputs come in groups of 64, small ones in 16: fully connected 1 -> 16 and 100 -> 128 outputs, and the
    same padding explains the convolutions of the pairs to a few percent, except for nets of many narrow
    layers (face detection: 1.4 times). Small depthwise filters take up to 8 times their size, an LSTM about
    9 times.
    """
    constants = [tensor for tensor in op.present if tensor.constant and tensor.dtype in ("INT8", "UINT8")]
    raw = sum(tensor.bytes for tensor in constants)
    if not raw:
        return Estimate(0, 0, 512, "B")
    outputs = op.outputs[0].shape[-1] if op.outputs and op.outputs[0].shape else 1
    scaling = 8 * outputs
    if "LSTM" in op.name:
        return Estimate(raw, 9.3 * raw, 16 * raw, "B")
    if op.name == "DEPTHWISE_CONV_2D":
        return Estimate(raw, 1.5 * raw + scaling, 8 * raw + scaling + 1024, "B")
    if op.name in ("CONV_2D", "FULLY_CONNECTED"):
        rows = max(1, constants[0].shape[0] if constants[0].shape else 1)
        padded = raw / rows * _up(rows, 16 if rows <= 16 else 64)
        return Estimate(raw, padded + scaling, 1.6 * padded + scaling + 1024, "B")
    return Estimate(raw, raw + scaling, 2 * raw + scaling + 1024, "B")


def multiply_accumulates(op: Op) -> int:
    """Multiply-accumulates of one call of a convolution or fully connected op; 0 for others."""
    weights = next((tensor for tensor in op.present[1:] if tensor.constant and len(tensor.shape) >= 2), None)
    if weights is None or not op.outputs:
        return 0
    if op.name == "DEPTHWISE_CONV_2D":
        return op.outputs[0].elements * math.prod(weights.shape[1:3])
    if op.name in ("CONV_2D", "FULLY_CONNECTED"):
        return op.outputs[0].elements * math.prod(weights.shape[1:])
    return 0


def tiles(shape: tuple[int, ...]) -> int:
    """How many of the 16 tiles a tensor spreads over: rows and columns, up to 4 each.

    >>> tiles((1, 1, 100, 512)), tiles((1, 10, 10, 512))
    (4, 16)
    """
    height, width = (1, 1, *shape[:-1])[-2:]
    return max(1, min(4, height)) * max(1, min(4, width))


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _total(estimates: Iterable[Estimate]) -> Estimate:
    return sum(estimates, start=Estimate(0, 0, 0, "B"))


def fits(need: Estimate, room: tuple[float, float]) -> str:
    """Whether `need` fits `room`, least and most: "yes", "probably", "uncertain" or "no"."""
    if need.high <= room[0]:
        return "yes"
    if need.low > room[1]:
        return "no"
    return "probably" if need.likely <= room[0] else "uncertain"


def _always_streamed(op: Op) -> bool:
    weights = op.present[1].shape if op.name == "FULLY_CONNECTED" else ()
    return len(weights) == 2 and weights[0] <= STREAMED_OUTPUTS and weights[1] >= STREAMED_INPUTS


def _streamed(ops: list[Op], parameters: Estimate) -> Estimate:
    """What does not fit the cache, and layers that are streamed in any case; a few KiB are always
    possible."""
    forced = _total(parameter_bytes(op) for op in ops if _always_streamed(op)).likely
    cached = parameters.likely - forced
    return Estimate(
        forced * 0.99 + max(0.0, parameters.low - forced - CACHE_BYTES[1]),
        forced + max(0.0, cached - CACHE_BYTES[0]),
        forced * 1.01 + max(0.0, parameters.high - forced - CACHE_BYTES[0]) + (4096 if ops else 0),
        "B",
    )


def _borders(graph: Graph, ops: list[Op]) -> tuple[Estimate, Estimate]:
    """Bytes that enter and leave the region. An LSTM's state does both; outputs are padded to 4 channels."""
    inside = {op.index for op in ops}
    made = {tensor.index: tensor for op in ops for tensor in op.outputs}
    states = {tensor.index: tensor for op in ops for tensor in op.present if tensor.variable}
    used = states | {tensor.index: tensor for op in ops for tensor in op.activations}
    wanted = {tensor.index for tensor in graph.outputs}
    wanted |= {tensor.index for op in graph.ops if op.index not in inside for tensor in op.activations}
    sources = [tensor for index, tensor in used.items() if index not in made]
    sinks = [tensor for index, tensor in made.items() if index in wanted] + list(states.values())
    raw_in, raw_out = sum(t.bytes for t in sources), sum(t.bytes for t in sinks)
    padded_in, padded_out = sum(map(_padded, sources)), sum(map(_padded, sinks))
    return Estimate(raw_in, raw_in, padded_in, "B"), Estimate(raw_out, padded_out, padded_out, "B")


def _padded(tensor: Tensor) -> int:
    channels = max(1, *tensor.shape[-1:], 1)
    return _up(tensor.bytes // channels * _up(channels, 4), 8)


def _instruction_bytes(ops: list[Op]) -> Estimate:
    """From the pairs: 23,648 bytes for 3 ops, 47,760 for 31, 97,120 for 75 and 160,784 for 64 (513x513)."""
    count = len(ops)
    if not count:
        return Estimate(0, 0, 0, "B")
    return Estimate(9_000 + 800 * count, 18_000 + 1_500 * count, 36_000 + 6_000 * count, "B")


def _activations_per_tile(ops: list[Op]) -> Estimate:
    """Peak of live activations, each spread over the tiles it can use.

    The pairs use 0.8 to 1.5 times that where it is over 5 KB. The compiler can do with less by streaming an
    image's rows, so the low end is a tenth; a few KiB of bookkeeping and an LSTM's insides are in the high
    end.
    """
    last_use = {tensor.index: position for position, op in enumerate(ops) for tensor in op.activations}
    live: dict[int, float] = {}
    peak = 0.0
    for position, op in enumerate(ops):
        for tensor in op.activations + op.outputs:
            live.setdefault(tensor.index, tensor.bytes / tiles(tensor.shape))
        peak = max(peak, sum(live.values()))
        live = {index: size for index, size in live.items() if last_use.get(index, len(ops)) > position}
    return Estimate(peak / 10, peak, 2 * peak + (8192 if ops else 0), "B")


def _warnings(ops: list[Op], narrow: Estimate) -> Iterator[str]:
    if narrow.low > NARROW_BYTES_PER_TILE:
        yield "activations exceed the tiles' memory: 'Compilation failed due to large activation tensors'"
    for op in ops:
        if _always_streamed(op):
            rows, columns = op.present[1].shape
            yield (
                f"op {op.index} FULLY_CONNECTED has {rows} outputs of {columns} inputs: its weights "
                "are padded and streamed on every call (edgetpu-tcn: 35 ms); pool before it"
            )


def _latency(
    to_device: Estimate, from_device: Estimate, macs: int, down: tuple[float, float], up: tuple[float, float]
) -> Estimate:
    """The least time of one call: transfers and arithmetic at published rates, and the fixed part.

    `low` is a floor that no call can beat; `high` is no ceiling: what layers do to the chip's utilization is
    not in it (Boroumand et al., arXiv 2109.14320: 24 models reach 24 % of its peak on average).
    """
    if not to_device.high:
        return Estimate(0, 0, 0, "ms")
    least = to_device.low / down[1] + from_device.low / up[1] + macs / MACS_PER_SECOND[1]
    likely = to_device.likely / down[0] + from_device.likely / up[0] + macs / MACS_PER_SECOND[0]
    most = to_device.high / down[0] + from_device.high / up[0] + macs / MACS_PER_SECOND[0]
    fixed = FIXED_SECONDS * 1e3
    return Estimate(max(fixed, least * 1e3), fixed + likely * 1e3, fixed + most * 1e3, "ms")
