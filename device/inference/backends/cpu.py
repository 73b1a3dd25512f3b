"""The CPU: the uncompiled int8 models in TensorFlow Lite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.inference.accelerator import BackendContext, Choice, Models
from device.inference.interpreter import Model
from device.inference.shapes import Shapes, checked


class CpuAccelerator:
    """The uncompiled int8 models on the CPU.

    >>> cpu = CpuAccelerator(Path("tests/data/edgetpu/separable_block.tflite"))
    >>> cpu.invoke(np.zeros(cpu.shapes[0].input, np.int8)).shape
    (1, 1, 32, 8)
    """

    name = "cpu"

    def __init__(self, *models: Path, threads: int = 1) -> None:
        """Load the files `models`; raises device.inference.interpreter.InterpreterError with the cause."""
        self._models = [Model(model, threads) for model in models]
        self.shapes = [Shapes(model.input_shape, model.output_shape) for model in self._models]

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        return self._models[model](checked(window, self.shapes[model]))

    def close(self) -> None:
        pass


def open_backend(models: Models, context: BackendContext) -> Choice:
    """The CPU alone."""
    return Choice(CpuAccelerator(*models.cpu, threads=context.threads), "the CPU, as configured", False)
