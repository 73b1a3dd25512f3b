"""What the prediction rests on: forms of an operator that no compiled file or log at hand shows mapped.

The documented table allows them, so they are predicted to map; the note says that only the table speaks for it.
The tests check the reverse on every labelled operator: nothing that was seen mapped is called unseen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from convert.edgetpu.predict.graph import Op

SEEN = frozenset(
    {
        "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LOGISTIC",
        "MAXIMUM", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE", "RELU", "RESHAPE", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "SOFTMAX", "SPLIT", "STRIDED_SLICE", "SUB", "TILE", "TRANSPOSE",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
    }
)  # fmt: skip
"""Operators mapped in a compiled file (oracle.md) or, STRIDED_SLICE and TRANSPOSE, in a log of compiler 16.0."""

ELEMENTWISE = frozenset({"ADD", "MUL", "SUB", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"})


@dataclass(frozen=True)
class Unseen:
    """A form of some operators that was never seen mapped."""

    ops: frozenset[str]
    what: str
    holds: Callable[[Op], bool]


def _broadcasts(op: Op) -> bool:
    shapes = {tensor.shape for tensor in op.activations}
    return len(op.activations) == 2 and len(shapes) == 2


def _scalar(op: Op) -> bool:
    return any(tensor.constant and not tensor.shape for tensor in op.present)


def _flat_dilation(op: Op) -> bool:
    kernel = op.present[1].shape[1:3]
    return math.prod(kernel) > 1 and 1 in kernel and max(op.options["dilation_h"], op.options["dilation_w"]) > 1


def _keeps_dimensions(op: Op) -> bool:
    return len(op.outputs[0].shape) == len(op.present[0].shape)


FORMS = (
    Unseen(ELEMENTWISE, "two computed inputs of different shapes (broadcast)", _broadcasts),
    Unseen(ELEMENTWISE, "a constant without dimensions; a constant with one value a channel was seen", _scalar),
    Unseen(frozenset({"DEPTHWISE_CONV_2D"}), "dilation of a kernel one element high or wide", _flat_dilation),
    Unseen(frozenset({"MEAN"}), "a reduction that keeps its dimensions", _keeps_dimensions),
)


def remark(op: Op) -> str:
    """What about a supported op no compiled file shows; empty if its like was seen mapped."""
    if op.name not in SEEN:
        return f"{op.name} itself"
    return "; ".join(form.what for form in FORMS if op.name in form.ops and form.holds(op))
