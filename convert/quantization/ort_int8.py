"""Float ONNX encoder to its int8 form by ONNX Runtime's static quantizer, which `dictate bench` compares with.

The device never runs it. It is quantized as that tool is meant to be used: weights by channel, activations by tensor,
with ranges from the calibration windows, of which the quantizer's percentile method leaves out 0.001 %: its minima and
maxima cost a point of word error rate more. Runs in a process of its own (see isolated.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import quantization

from convert.onnx import graph
from convert.quantization.calibration import calibration_windows

WINDOWS = 16  # the quantizer keeps every activation of every window in memory


class _Windows(quantization.CalibrationDataReader):  # type: ignore[misc]
    """What the quantizer asks for its calibration data, one window at a time."""

    def __init__(self, name: str, windows: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: np.ascontiguousarray(window.T[None])} for window in windows
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def quantize(encoder: str, calibration: str, out: str) -> None:
    """Writes encoder_int8.onnx to `out`: float32 in and out, int8 in between.

    `calibration` is .npz with `log_mel` [N, frames or more, mels].
    """
    value = graph.load(Path(encoder)).graph.input[0]
    _, mels, frames = (d.dim_value for d in value.type.tensor_type.shape.dim)
    windows = calibration_windows(Path(calibration), frames, mels)[:WINDOWS]
    quantization.quantize_static(
        encoder,
        Path(out, "encoder_int8.onnx"),
        _Windows(value.name, windows),
        per_channel=True,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.Percentile,
    )
