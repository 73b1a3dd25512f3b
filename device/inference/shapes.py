"""What a model takes and gives, and the check of a window against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes of a model's one input and one output."""

    input: tuple[int, ...]
    output: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.input} -> {self.output}"


def checked(window: NDArray[np.int8], shapes: Shapes) -> NDArray[np.int8]:
    """`window`; ValueError where its shape or dtype is another than the model's."""
    if window.shape != shapes.input or window.dtype != np.int8:
        raise ValueError(f"a window is int8 {shapes.input}, not {window.dtype} {window.shape}")
    return window
