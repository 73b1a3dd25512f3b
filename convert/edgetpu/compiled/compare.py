"""Tells, op by op, what the compiler did with a model, and where that differs from the prediction."""

from __future__ import annotations

from collections.abc import Iterator

from convert.edgetpu.compiled.output import Row
from convert.edgetpu.predict import graph, rules
from convert.edgetpu.predict.graph import Op
from convert.edgetpu.predict.mapping import Prediction


def mapped_ops(source: bytes, compiled: bytes) -> tuple[bool, ...]:
    """Which ops of `source` run on the Edge TPU in `compiled`, in the source's order.

    An op stayed on the CPU exactly if one of its name with the same output tensors is left in `compiled`.
    """
    left = {_identity(op) for op in graph.read(compiled).ops}
    return tuple(_identity(op) not in left for op in graph.read(source).ops)


def op_differences(prediction: Prediction, mapped: tuple[bool, ...]) -> Iterator[str]:
    """One sentence for each op that the compiler treated otherwise than predicted."""
    for verdict, actual in zip(prediction.ops, mapped, strict=True):
        if verdict.mapped != actual:
            did = "mapped to the Edge TPU" if actual else "left on the CPU"
            yield f"the compiler {did}, against the prediction: {verdict}"


def table_differences(prediction: Prediction, rows: tuple[Row, ...]) -> Iterator[str]:
    """One sentence for each operator of which the compiler's table maps another number than predicted."""
    predicted = _mapped_counts((_shown(verdict.op), verdict.mapped, 1) for verdict in prediction.ops)
    actual = _mapped_counts((row.op, row.status == rules.MAPPED, row.count) for row in rows)
    for op in sorted(predicted.keys() | actual.keys()):
        want, have = predicted.get(op, (0, 0)), actual.get(op, (0, 0))
        if want != have:
            yield (
                f"{op}: the compiler maps {have[0]} and leaves {have[1]}, the prediction was {want[0]} and {want[1]}"
            )


def _identity(op: Op) -> tuple[str, tuple[str, ...]]:
    return op.name, tuple(tensor.name for tensor in op.outputs)


def _shown(op: str) -> str:
    return "CUSTOM" if op.startswith("CUSTOM:") else op


def _mapped_counts(entries: Iterator[tuple[str, bool, int]]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for op, mapped, count in entries:
        on, off = counts.get(op, (0, 0))
        counts[op] = (on + count, off) if mapped else (on, off + count)
    return counts
