"""Turns predictions and compiled models into text for people and plain objects for `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from convert.edgetpu.compiled.executable import CompiledModel, ExecutableLayer, Region
from convert.edgetpu.predict.budget import CACHE_BYTES, Estimate
from convert.edgetpu.predict.checks import NARROW_BYTES_PER_TILE
from convert.edgetpu.predict.mapping import Prediction
from convert.edgetpu.together import Together, together
from convert.edgetpu.workload import SECONDS

_ESTIMATES = (
    ("parameters", "parameters on the chip"),
    ("streamed", "streamed on each call"),
    ("instructions", "instructions on each call"),
    ("inputs", "input on each call"),
    ("outputs", "output on each call"),
    ("usb_bytes", "over USB on each call"),
    ("activations_per_tile", "activations per tile"),
    ("latency_usb3", "least time of a call, USB 3"),
    ("latency_usb2", "least time of a call, USB 2"),
)


def prediction_object(prediction: Prediction) -> dict[str, Any]:
    """A prediction as one JSON object: `ops` in file order beside the totals, each with its range."""
    budget = prediction.budget
    return {
        "ops": [asdict(op) for op in prediction.ops],
        "refusals": list(prediction.refusals),
        "total_ops": len(prediction.ops),
        "mapped_ops": prediction.mapped,
        "complete": prediction.complete,
        **{name: asdict(getattr(budget, name)) for name, _ in _ESTIMATES},
        "macs": budget.macs,
        "fits_on_chip": budget.fits_on_chip,
        "activations_fit": budget.activations_fit,
        "warnings": list(budget.warnings),
    }


def prediction_text(prediction: Prediction) -> Iterator[str]:
    """A prediction as lines: the compiler's own table, what stays on the CPU and why, the cost."""
    yield f"{'Operator':30} {'Count':10} Status (predicted)"
    for (op, status), count in sorted(prediction.table().items()):
        yield f"{op:30} {count:<10} {status or 'not reached: the file is refused'}"
    yield ""
    for refusal in prediction.refusals:
        yield f"The compiler refuses the whole file: {refusal}"
    for verdict in prediction.unmapped:
        yield str(verdict)
        yield f"    {verdict.advice} ({verdict.source})"
    yield f"{prediction.mapped} of {len(prediction.ops)} operators run on the Edge TPU."
    yield from _unseen_text(prediction)
    if not prediction.mapped:
        return
    budget = prediction.budget
    room = " to ".join(f"{size / (1 << 20):.2f}" for size in CACHE_BYTES)
    yield ""
    yield f"{'Estimate':30} {'likely':>14}   {'from':>14} {'to':>14}"
    for name, label in _ESTIMATES:
        yield f"{label:30} {_range(getattr(budget, name))}"
    yield f"Do all parameters stay on the chip ({room} MiB)? {budget.fits_on_chip}"
    yield f"Do activations fit a tile ({NARROW_BYTES_PER_TILE:,} B)? {budget.activations_fit}"
    yield f"{budget.macs / 1e6:,.1f} million multiply-accumulates a call"
    for warning in budget.warnings:
        yield f"warning: {warning}"


_TOTALS = (
    ("parameters", "parameters on the chip"),
    ("streamed", "streamed, as they do not fit"),
    ("usb_bytes", "over USB"),
    ("latency_usb3", "least time, USB 3"),
    ("latency_usb2", "least time, USB 2"),
)


@dataclass(frozen=True)
class Planned:
    """A model of several that share a chip; `calls` are those of `SECONDS` of speech, None where that is not known."""

    prediction: Prediction
    calls: float | None = None


def plan_object(models: Mapping[str, Planned]) -> dict[str, Any]:
    """Predictions by model, and `together`, what their calls cost on one chip, as one JSON object."""
    return {
        "models": {name: {**prediction_object(m.prediction), "calls": m.calls} for name, m in models.items()},
        "seconds": _seconds(models),
        "together": asdict(_total(models)),
    }


def plan_text(models: Mapping[str, Planned]) -> Iterator[str]:
    """A line for each model, what stays on the CPU and why, and the cost of all calls on one chip."""
    yield f"{'Mapped':>9} {'parameters':>13} {'over USB':>11} {'USB 3':>10} {'calls':>6}  Model"
    for name, model in models.items():
        budget, mapped = model.prediction.budget, f"{model.prediction.mapped}/{len(model.prediction.ops)}"
        yield (
            f"{mapped:>9} {budget.parameters.likely:>11,.0f} B {budget.usb_bytes.likely:>9,.0f} B "
            f"{budget.latency_usb3.likely:>7.2f} ms {1 if model.calls is None else model.calls:>6.3g}  {name}"
        )
    for name, model in models.items():
        for refusal in model.prediction.refusals:
            yield f"{name}: the compiler refuses the whole file: {refusal}"
        for verdict in model.prediction.unmapped:
            yield f"{name}: {verdict}"
            yield f"    {verdict.advice} ({verdict.source})"
    total, seconds = _total(models), _seconds(models)
    room = " to ".join(f"{size / (1 << 20):.2f}" for size in CACHE_BYTES)
    what = f"{seconds:g} s of speech, {total.calls:.3g} calls" if seconds else "one call of each"
    yield ""
    yield f"{f'{total.models} models together, {what}':42} {'likely':>14}   {'from':>14} {'to':>14}"
    for key, label in _TOTALS:
        yield f"{label:42} {_range(getattr(total, key))}"
    yield f"Do all parameters stay on the chip together ({room} MiB)? {total.fits_on_chip}"
    if total.fits_on_chip != "yes":
        yield "What does not fit is of the last models and is sent again with each of their calls."


def _total(models: Mapping[str, Planned]) -> Together:
    calls = [1.0 if model.calls is None else model.calls for model in models.values()]
    return together([model.prediction.budget for model in models.values()], calls)


def _seconds(models: Mapping[str, Planned]) -> float | None:
    """Of how much speech the calls are; None where that is not known of a model."""
    return None if any(model.calls is None for model in models.values()) else SECONDS


def _unseen_text(prediction: Prediction) -> Iterator[str]:
    found: dict[tuple[str, str], list[int]] = {}
    for verdict in prediction.ops:
        if verdict.unseen:
            found.setdefault((verdict.op, verdict.unseen), []).append(verdict.index)
    for (op, unseen), indices in found.items():
        yield f"Only the documented table says so, no compiled file: {len(indices)} {op} with {unseen}"


def compiled_object(model: CompiledModel) -> dict[str, Any]:
    """A compiled model as one JSON object."""
    return {
        "regions": [
            {
                **asdict(region),
                "cached_bytes": region.cached_bytes,
                "streamed_bytes": region.streamed_bytes,
                "instruction_bytes": region.instruction_bytes,
                "input_bytes": region.input_bytes,
                "output_bytes": region.output_bytes,
                "usb_bytes": region.usb_bytes,
            }
            for region in model.regions
        ],
        "cpu_ops": list(model.cpu_ops),
        "warnings": list(model.warnings()),
    }


def compiled_text(model: CompiledModel) -> Iterator[str]:
    """A compiled model as lines."""
    for region in model.regions:
        yield from _region_text(region)
    for warning in model.warnings():
        yield f"warning: {warning}"


def _region_text(region: Region) -> Iterator[str]:
    chips = ", ".join(region.chips) or "not named"
    yield f"Region at operator {region.op}: needs runtime {region.minimum_runtime} or newer, chip {chips}"
    yield f"  {'package':34} {region.package_bytes:>12,} B"
    yield f"  {'parameters cached on the chip':34} {region.cached_bytes:>12,} B"
    yield f"  {'parameters streamed on each call':34} {region.streamed_bytes:>12,} B"
    yield f"  {'instructions on each call':34} {region.instruction_bytes:>12,} B"
    yield f"  {'over USB on each call':34} {region.usb_bytes:>12,} B"
    for item in region.executables:
        yield (
            f"  {item.type}: {sum(item.instruction_bytes):,} B of instructions in "
            f"{len(item.instruction_bytes)} parts, {item.parameter_bytes:,} B of parameters, "
            f"{item.narrow_bytes_per_tile:,} of {NARROW_BYTES_PER_TILE:,} B per tile"
        )
        for direction, layers in (("in ", item.inputs), ("out", item.outputs)):
            for layer in layers:
                yield f"    {direction} {_layer_text(layer)}"


def _layer_text(layer: ExecutableLayer) -> str:
    y, x, z = layer.shape
    tiles = f", on {layer.tiles} of 16 tiles" if layer.tiles else ""
    return (
        f"'{layer.name}' {y} x {x} x {z} {layer.dtype}, {layer.size_bytes:,} B, "
        f"scale {layer.scale:.6g}, zero point {layer.zero_point}{tiles}"
    )


def _range(estimate: Estimate) -> str:
    digits = 2 if estimate.unit == "ms" else 0
    likely, low, high = (f"{value:,.{digits}f}" for value in (estimate.likely, estimate.low, estimate.high))
    return f"{likely:>11} {estimate.unit:2}   {low:>11} {estimate.unit:2} {high:>11} {estimate.unit:2}"
