"""Int8 pieces of an encoder, as the CPU sees them: float frames in, float frames out, a fixed number of frames a call.

A piece's channels are scaled so that one int8 scale fits all of them: its input is divided by channel before it is
rounded, its output scaled and shifted by channel afterwards. The graph's own scales and zero points are in that.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int8 = NDArray[np.int8]
Invoke = Callable[[Int8], Int8]
"""One call of a piece: [1, 1, frames, in] -> [1, 1, frames, out]."""


@dataclass(frozen=True)
class Piece:
    """Between float frames and a piece's int8 tensors."""

    input_gain: Float  # [in], int8 steps for each unit
    input_zero: int  # what stands for 0 in the input
    output_gain: Float  # [out], units for each int8 step
    output_offset: Float  # [out], what an output of 0 stands for

    def quantize(self, x: Float) -> Int8:
        """Float frames [T, in] as the piece's int8."""
        steps = x * self.input_gain
        np.rint(steps, out=steps)
        steps += np.float32(self.input_zero)
        return np.clip(steps, -128, 127, out=steps).astype(np.int8)

    def dequantize(self, y: Int8) -> Float:
        """The piece's int8 frames [T, out] as float."""
        real: Float = y.astype(np.float32) * self.output_gain + self.output_offset
        return real

    def run(self, x: Float, frames: int, invoke: Invoke) -> Float:
        """[T, in] to [T, out] in calls of `frames`, the last one filled up with zeros.

        >>> same = Piece(np.full(1, 10, np.float32), 0, np.full(1, 0.1, np.float32), np.zeros(1, np.float32))
        >>> same.run(np.array([[0.5], [1.0], [-2.0]], np.float32), 2, lambda x: x).round(3).tolist()
        [[0.5], [1.0], [-2.0]]
        """
        steps, out = self.quantize(x), np.empty((len(x), len(self.output_gain)), np.float32)
        for start in range(0, len(x), frames):
            block = steps[start : start + frames]
            call = np.zeros((1, 1, frames, x.shape[1]), np.int8)
            call[0, 0, : len(block)] = block
            out[start : start + frames] = self.dequantize(invoke(call)[0, 0, : len(block)])
        return out


FIELDS = ("input_gain", "input_zero", "output_gain", "output_offset")


def save(pieces: Mapping[str, Piece], path: Path) -> None:
    """Writes all pieces as .npz, fields as NAME.FIELD."""
    packed = io.BytesIO()
    np.savez(packed, **{f"{name}.{field}": getattr(piece, field) for name, piece in pieces.items() for field in FIELDS})
    path.write_bytes(packed.getvalue())


def load(path: Path) -> dict[str, Piece]:
    """What `save` wrote; OSError, KeyError or ValueError where the file is something else."""
    with np.load(path) as arrays:
        names = dict.fromkeys(key.rpartition(".")[0] for key in arrays)
        return {
            name: Piece(
                arrays[f"{name}.input_gain"],
                int(arrays[f"{name}.input_zero"]),
                arrays[f"{name}.output_gain"],
                arrays[f"{name}.output_offset"],
            )
            for name in names
        }
