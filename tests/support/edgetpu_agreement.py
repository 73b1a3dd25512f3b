"""Compares predictions with what Google's compiler did: `python -m tests.support.edgetpu_agreement DIR`.

DIR (`../shared/edgetpu`) holds `pairs.json`, `records.json` and `pairs/`. Records carry operators without
tensor names, so their edges are rebuilt from shapes: an input comes from the latest earlier output of its
type and shape, unused ones first.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.edgetpu.predict import mapping
from convert.edgetpu.predict.budget import Estimate
from convert.edgetpu.predict.graph import Graph, Op, Tensor
from convert.edgetpu.predict.mapping import Prediction

_OPTION = {
    "StrideW": "stride_w", "StrideH": "stride_h", "Axis": "axis", "WeightsFormat": "weights_format",
    "DilationWFactor": "dilation_w", "DilationHFactor": "dilation_h", "DepthMultiplier": "depth_multiplier",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One labelled model: how many ops, and the ones whose prediction differs."""

    name: str
    ops: int
    wrong: tuple[str, ...]


def outcomes(root: Path) -> Iterator[Outcome]:
    """How well the prediction of every labelled model below `root` agrees."""
    return (_compare(name, labels, prediction) for name, labels, prediction in predictions(root))


def predictions(root: Path) -> Iterator[tuple[str, list[dict[str, Any]], Prediction]]:
    """Name, labels and prediction of every labelled model below `root`."""
    for record in json.loads((root / "pairs.json").read_text()):
        model = (root / "pairs" / f"{record['file']}.tflite").read_bytes()
        yield f"pair {record['file']}", record["ops"], mapping.predict(model)
    for record in json.loads((root / "records.json").read_text()):
        yield f"record {record['id']}", record["ops"], mapping.predict_graph(rebuild(record["ops"]))


def figures(root: Path) -> Iterator[tuple[str, Estimate, int]]:
    """Each estimate of a pair beside the compiler's figure."""
    for record in json.loads((root / "pairs.json").read_text()):
        budget = mapping.predict((root / "pairs" / f"{record['file']}.tflite").read_bytes()).budget
        executables = {item["type"]: item for item in record["compiled"][0]["executables"]}
        run, cached = executables["EXECUTION_ONLY"], executables["PARAMETER_CACHING"]["parameter_bytes"]
        rows = {
            "parameters": (budget.parameters, cached + run["parameter_bytes"]),
            "streamed": (budget.streamed, run["parameter_bytes"]),
            "instructions": (budget.instructions, sum(run["bitstream_bytes"])),
            "inputs": (budget.inputs, run["in_bytes"]),
            "outputs": (budget.outputs, run["out_bytes"]),
            "activations per tile": (budget.activations_per_tile, run["narrow_bytes_per_tile"]),
        }
        for name, (estimate, actual) in rows.items():
            yield f"{record['file']}: {name}", estimate, actual


def _compare(name: str, labels: list[dict[str, Any]], prediction: Prediction) -> Outcome:
    wrong = tuple(
        f"the compiler {'maps' if label['mapped'] else 'leaves'} {verdict}"
        for label, verdict in zip(labels, prediction.ops, strict=True)
        if label["mapped"] != verdict.mapped
    )
    return Outcome(name, len(labels), wrong)


def rebuild(labels: list[dict[str, Any]]) -> Graph:
    """A graph from a record's shape strings, such as `int8[1, 8, 8, 3] const pc8`."""
    tensors: list[Tensor] = []
    unused: list[Tensor] = []

    def new(text: str) -> Tensor:
        match = re.match(r"(\w+)\[([\d, -]*)\](.*)", text)
        assert match, text
        shape = tuple(int(size) for size in match[2].split(",") if size.strip())
        constant = "const" in match[3]
        tensor = Tensor(len(tensors), f"t{len(tensors)}", match[1].upper(), shape, constant=constant,
                        scales=(1.0,), zero_points=(0,))  # fmt: skip
        tensors.append(tensor)
        return tensor

    def source(text: str, taken: list[Tensor]) -> Tensor | None:
        if text in ("None", "none", ""):
            return None
        wanted = new(text)
        same = [t for t in tensors if (t.dtype, t.shape) == (wanted.dtype, wanted.shape) and t is not wanted
                and not t.constant and t not in taken and t.name.startswith("made")]  # fmt: skip
        if wanted.constant or not same:
            return wanted
        return next((t for t in reversed(same) if t in unused), same[-1])

    ops = []
    for label in labels:
        taken: list[Tensor] = []
        inputs: list[Tensor | None] = []
        for text in label["inputs"]:
            tensor = source(str(text), taken)
            inputs.append(tensor)
            taken += [tensor] if tensor else []
        unused = [t for t in unused if t not in taken]
        outputs = []
        for text in label["outputs"]:
            tensor = new(text)
            tensors[-1] = tensor = Tensor(tensor.index, f"made{tensor.index}", tensor.dtype, tensor.shape,
                                          scales=(1.0,), zero_points=(0,))  # fmt: skip
            outputs.append(tensor)
        unused += outputs
        options = {_OPTION[key]: int(value) for key, value in label["options"].items() if key in _OPTION}
        options["activation"] = int(label["options"].get("FusedActivationFunction", "NONE") != "NONE")
        ops.append(Op(label["index"], label["op"], label["version"], tuple(inputs), tuple(outputs), options))
    made = {t.index for op in ops for t in op.outputs}
    inputs_ = {t.index: t for op in ops for t in op.activations if t.index not in made}
    return Graph(tuple(ops), tuple(inputs_.values()), tuple(unused))


def main(root: Path) -> int:
    for name, estimate, actual in figures(root):
        within = "" if estimate.low <= actual <= estimate.high else "  OUTSIDE"
        print(
            f"{name}: {estimate.low:,.0f} .. {estimate.likely:,.0f} .. {estimate.high:,.0f} B, "
            f"compiler {actual:,}{within}"
        )
    total = wrong = 0
    for outcome in outcomes(root):
        total += outcome.ops
        wrong += len(outcome.wrong)
        for line in outcome.wrong:
            print(f"{outcome.name}: {line}")
    print(f"{total - wrong} of {total} ops agree ({100 * (total - wrong) / total:.2f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
