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

ALL = slice(None)
"""All frames."""


def session(path: str | Path, threads: int = 1, provider: str = CPU) -> Any:
    """An onnxruntime.InferenceSession; InterpreterError if the file is missing, no model, or `provider` cannot run it.

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

    With two more inputs, int64 [1], that have defaults and are named by `bounds`, a model answers for the frames from
    one up to the other: axis 1 of its output, which is by default as long as the last axis of its input.

    >>> model = OnnxModel("models/build/base/head.onnx", bounds=("start", "end"))            # doctest: +SKIP
    >>> x = np.zeros(model.input_shape, np.float32)                                          # doctest: +SKIP
    >>> model(x).shape, model(x, slice(60, 180)).shape                                       # doctest: +SKIP
    ((1, 240, 191), (1, 120, 191))
    """

    def __init__(
        self, path: str | Path, threads: int = 1, provider: str = CPU, bounds: tuple[str, str] | None = None
    ) -> None:
        """Loads the file; InterpreterError if it is missing, no such model, or `provider` cannot run it.

        A model without the inputs that `bounds` names computes all frames whatever is asked for.
        """
        self._session = session(path, threads, provider)
        given, made = self._session.get_inputs(), self._session.get_outputs()
        if len(given) != 1 or len(made) != 1:
            raise InterpreterError(f"{path}: {len(given)} inputs and {len(made)} outputs, where one of each is needed")
        self._input, self._output = given[0].name, made[0].name
        optional = {value.name for value in self._session.get_overridable_initializers()}
        self._bounds = bounds if bounds and optional.issuperset(bounds) else None
        self.input_shape, shape = _static(path, given[0].shape), list(made[0].shape)
        self.output_shape = _static(path, [shape[0], self.input_shape[-1], *shape[2:]] if self._bounds else shape)

    def __call__(self, x: NDArray[np.float32], frames: slice = ALL) -> NDArray[np.float32]:
        """Runs the model on `x`, float32 of `input_shape`; the answer, of `output_shape`, is the caller's own.

        Of its axis 1 the answer has only `frames`, a slice of step 1.
        """
        feeds: dict[str, NDArray[Any]] = {self._input: np.ascontiguousarray(x)}
        if self._bounds:
            limits = frames.indices(self.output_shape[1])[:2]
            feeds |= {name: np.array([at], np.int64) for name, at in zip(self._bounds, limits, strict=True)}
        answer: NDArray[np.float32] = self._session.run([self._output], feeds)[0]
        return answer if self._bounds or frames == ALL else answer[:, frames]


def _static(path: str | Path, shape: list[int | str | None]) -> tuple[int, ...]:
    sizes = tuple(size for size in shape if isinstance(size, int))
    if len(sizes) != len(shape):
        raise InterpreterError(f"{path}: has the shape {shape}, and only static shapes can be run; build it again")
    return sizes
