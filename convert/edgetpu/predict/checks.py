"""The predicates behind the rules: each looks at one op and names what breaks a limit, or returns None."""

from __future__ import annotations

import math
from collections.abc import Callable

from convert.edgetpu.predict.graph import Op, Tensor

TILES = 16
NARROW_BYTES_PER_TILE = 192 * 1024
"""Activation memory: a 4x4 grid of tiles; 132 compiled files use at most 196,596 bytes of one."""

SOFTMAX_MAPPED = 16_384
RESIZE_MAPPED, RESIZE_REFUSED = 2, 15


def shown(tensor: Tensor) -> str:
    """A tensor as messages show it: `'name' int8[1, 80, 64]`."""
    return f"'{tensor.name}' {tensor.dtype.lower()}{list(tensor.shape)}"


def _first(tensors: tuple[Tensor, ...], wrong: Callable[[Tensor], bool]) -> str | None:
    return next((shown(tensor) for tensor in tensors if wrong(tensor)), None)


def data_type(op: Op) -> str | None:
    return _first(op.activations + op.outputs, lambda t: t.dtype not in ("INT8", "UINT8"))


def constant_type(op: Op) -> str | None:
    constants = tuple(tensor for tensor in op.present if tensor.constant)
    allowed = {"INT8", "UINT8", "INT32", "INT64"} | ({"INT16"} if "LSTM" in op.name else set())
    return _first(constants, lambda t: t.dtype not in allowed)


def rank(op: Op) -> str | None:
    return _first(op.activations + op.outputs, lambda t: math.prod(t.shape[:-3]) > 1)


def dynamic(op: Op) -> str | None:
    return _first(op.activations + op.outputs, lambda t: t.dynamic or 0 in t.shape)


def unquantized(op: Op) -> str | None:
    return _first(op.activations + op.outputs, lambda t: t.dtype in ("INT8", "UINT8") and len(t.scales) != 1)


def parameters(op: Op) -> str | None:
    return _first(op.present[1:], lambda t: not t.constant and not t.variable)


def slope(op: Op) -> str | None:
    alpha = op.present[1] if len(op.present) > 1 else None
    return None if alpha is None or math.prod(alpha.shape[:-1]) == 1 else shown(alpha)


def fused(op: Op) -> str | None:
    return "it has one" if op.options.get("activation", 0) else None


def concatenated_constant(op: Op) -> str | None:
    constants = tuple(tensor for tensor in op.present if tensor.constant)
    if not constants:
        return None
    zeros = all(set(bytes(t.data)) <= {(t.zero_points or (0,))[0] & 0xFF} for t in constants)
    return None if zeros and len(op.present) == 2 else shown(constants[0])


def dilation(op: Op) -> str | None:
    # A kernel one element wide has no dilation in that direction: (3, 1) with dilation (2, 1) is mapped.
    factors = (op.options["dilation_h"], op.options["dilation_w"])
    kernel = op.present[1].shape[1:3] if len(op.present) > 1 else ()
    both = len(kernel) == 2 and min(kernel) > 1
    return f"dilation (height, width) is {factors}" if both and factors[0] != factors[1] else None


def groups(op: Op) -> str | None:
    data, weights = op.present[0], op.present[1]
    same = not data.shape or not weights.shape or data.shape[-1] == weights.shape[-1]
    return None if same else f"the input has {data.shape[-1]} channels, the filter {weights.shape[-1]}"


def weights_format(op: Op) -> str | None:
    return "its weights are shuffled" if op.options.get("weights_format", 0) else None


def one_dimensional(op: Op) -> str | None:
    return _first(op.outputs[:1], lambda t: math.prod(t.shape[:-1]) > 1)


def axes(op: Op) -> tuple[tuple[int, ...], int]:
    """The axes that a PACK, SPLIT or reduction works on, counted from 0, and the rank that they index."""
    if op.name == "PACK":
        found: tuple[int, ...] = (op.options["axis"],)
        rank = len(op.outputs[0].shape)
    elif len(op.present) < 2:
        return (), len(op.present[0].shape)
    else:
        axis, data = (0, 1) if op.name == "SPLIT" else (1, 0)
        found, rank = op.present[axis].integers() or (), len(op.present[data].shape)
    return tuple(value + rank if value < 0 else value for value in found), rank


def batch_axis(op: Op) -> str | None:
    found, rank = axes(op)
    return f"axis 0 of {rank} dimensions" if rank > 1 and 0 in found else None


def reduced_depth(op: Op) -> str | None:
    found, rank = axes(op)
    depth = op.present[0].shape[-1] if rank else 4
    return f"{shown(op.present[0])} has {depth}" if rank - 1 in found and depth % 4 else None


def padded_batch(op: Op) -> str | None:
    pads = op.present[1].integers() if len(op.present) > 1 else None
    return f"it pads {list(pads[:2])}" if pads and len(op.present[0].shape) > 3 and any(pads[:2]) else None


def resize(op: Op) -> str | None:
    data, result = op.present[0].shape, op.outputs[0].shape
    if len(data) != 4 or len(result) != 4:
        return f"{shown(op.present[0])} -> {shown(op.outputs[0])}"
    growth = max(result[1] / max(data[1], 1), result[2] / max(data[2], 1))
    limit = math.sqrt(RESIZE_MAPPED * RESIZE_REFUSED)
    return f"{shown(op.present[0])} grows {growth:.1f} times" if growth > limit else None


def too_large(op: Op) -> str | None:
    return _first(op.outputs[:1], lambda t: t.bytes > TILES * NARROW_BYTES_PER_TILE)


def softmax(op: Op) -> str | None:
    return _first(op.activations[:1], lambda t: t.shape[-1:] > (SOFTMAX_MAPPED,))


def slice_masks(op: Op) -> str | None:
    strides = op.present[3].integers() if len(op.present) > 3 else None
    if op.options["ellipsis_mask"] or op.options["new_axis_mask"]:
        return "it sets an ellipsis or a new-axis mask"
    return None if strides is not None and set(strides) <= {1} else f"strides are {strides}"


def transposed(op: Op) -> str | None:
    return _first(op.activations[:1], lambda t: len(t.shape) > 4)
