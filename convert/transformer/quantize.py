"""Folded pieces to int8 TFLite, as the CTC encoder is converted; runs in a process of its own (see isolated.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert import metadata
from convert.onnx import graph
from convert.onnx.conv2d import conv1d_to_conv2d, require_int8
from convert.quantization import quantize, ranges
from models import pieces
from models.pieces import Piece


def quantize_all(folded: str, out: str) -> None:
    """Writes NAME.tflite to `out` for each NAME.onnx in `folded`, and pieces.npz, what the CPU does around them.

    `folded` is what convert/transformer/fold.py writes.
    """
    made: dict[str, Piece] = {}
    for path in sorted(Path(folded).glob("*.onnx")):
        name = path.stem
        model = conv1d_to_conv2d(graph.load(path))
        require_int8(model)
        with np.load(path.with_suffix(".npz")) as arrays:
            windows, divisor, scale, offset = (arrays[key] for key in ("windows", "divisor", "scale", "offset"))
        content, _ = quantize.int8(model, windows, ranges.declared(model), True, Path(out))
        target = Path(out, f"{name}.tflite")
        target.write_bytes(content)
        entering, leaving = metadata.tflite_tensors(target)
        gain = (np.float32(leaving.scale) * scale).astype(np.float32)
        made[name] = Piece(
            input_gain=(1 / (divisor * np.float32(entering.scale))).astype(np.float32),
            input_zero=entering.zero_point,
            output_gain=gain,
            output_offset=(offset - np.float32(leaving.zero_point) * gain).astype(np.float32),
        )
    pieces.save(made, Path(out, "pieces.npz"))
