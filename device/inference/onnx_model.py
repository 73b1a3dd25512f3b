"""ONNX models on the CPU through ONNX Runtime: sessions, and models of one float32 input and output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from device.inference.interpreter import InterpreterError

CPU = "CPUExecutionProvider"
"""ONNX Runtime's execution provider for the CPU; without a GPU there is no other."""


def session(path: str | Path, threads: int = 1, provider: str = CPU) -> Any:
    """An onnxruntime.InferenceSession of the file; InterpreterError if it is missing or no model.

    Its threads do not spin while they wait: between two calls the processor is to sleep.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised; a sandbox without /sys/devices/system/cpu is no news
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions have no common base but Exception
        reason = str(error).splitlines()[0]
        raise InterpreterError(f"{path}: not a model that ONNX Runtime runs ({reason})") from None


class OnnxModel:
    """A float32 ONNX model with one input and one output of static shapes, run on the CPU.

    >>> model = OnnxModel("models/build/base/head.onnx")              # doctest: +SKIP
    >>> model(np.zeros(model.input_shape, np.float32)).shape          # doctest: +SKIP
    (1, 240, 191)
    """

    def __init__(self, path: str | Path, threads: int = 1, provider: str = CPU) -> None:
        """Loads the file; InterpreterError if it is missing, no such model, or `provider` cannot run it."""
        self._session = session(path, threads, provider)
        given, made = self._session.get_inputs(), self._session.get_outputs()
        if len(given) != 1 or len(made) != 1:
            raise InterpreterError(f"{path}: {len(given)} inputs and {len(made)} outputs, where one of each is needed")
        self._input, self._output = given[0].name, made[0].name
        self.input_shape, self.output_shape = (_static(path, value.shape) for value in (given[0], made[0]))

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Runs the model on `x`, float32 of `input_shape`; the answer, of `output_shape`, is the caller's own."""
        answer: NDArray[np.float32] = self._session.run([self._output], {self._input: np.ascontiguousarray(x)})[0]
        return answer


def _static(path: str | Path, shape: list[int | str | None]) -> tuple[int, ...]:
    sizes = tuple(size for size in shape if isinstance(size, int))
    if len(sizes) != len(shape):
        raise InterpreterError(f"{path}: has the shape {shape}, and only static shapes can be run; build it again")
    return sizes
