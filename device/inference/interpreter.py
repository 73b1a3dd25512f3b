"""TensorFlow Lite on the CPU, through whichever interpreter package is installed.

tflite_runtime serves Python 3.11 (Bookworm), ai_edge_litert 3.11 and later; both have the same `Interpreter`. With
their reference kernels they agree to the bit; their fast kernels round differently, and ai_edge_litert's, which are
XNNPACK's for int8 too, are several times faster, so it is preferred.
TensorFlow itself is never imported on the device.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from device.quiet import only_lines
from models.errors import UserError

PACKAGES = ("ai_edge_litert", "tflite_runtime")


class InterpreterError(UserError):
    """No interpreter, or a model that it cannot load; the message names the cause and the next step."""


def load_interpreter_module(packages: Sequence[str] = PACKAGES) -> ModuleType:
    """The `interpreter` module of the first installed package; InterpreterError when there is none."""
    failures = []
    for package in packages:
        try:
            return importlib.import_module(f"{package}.interpreter")
        except ImportError as error:
            failures.append(f"{package}: {error}")
    raise InterpreterError(
        f"no TensorFlow Lite interpreter ({'; '.join(failures)}); "
        "install one with `pip install coral-dictation[device]`"
    )


class Model:
    """A TFLite model with one input and one output of static shapes, run on the CPU.

    >>> model = Model("models/build/base/encoder.tflite")           # doctest: +SKIP
    >>> model(np.zeros(model.input_shape, np.int8)).shape             # doctest: +SKIP
    (1, 1, 240, 256)
    """

    def __init__(
        self, path: str | Path, threads: int = 1, packages: Sequence[str] = PACKAGES, reference: bool = False
    ) -> None:
        """Loads the file, mapped from disk where the runtime can; InterpreterError if it is missing or no model.

        `reference` selects the slow kernels that define what every other must compute.
        """
        module = load_interpreter_module(packages)
        kernels = module.OpResolverType.BUILTIN_REF if reference else module.OpResolverType.AUTO
        try:
            with only_lines(lambda line: not line.startswith(b"INFO:")):
                self._interpreter: Any = module.Interpreter(
                    str(path), num_threads=threads, experimental_op_resolver_type=kernels
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InterpreterError(f"{path}: not a model that {module.__name__} runs ({reason})") from None
        given, made = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(given) != 1 or len(made) != 1:
            raise InterpreterError(f"{path}: {len(given)} inputs and {len(made)} outputs, where one of each is needed")
        self._input, self._output = given[0]["index"], made[0]["index"]
        self.input_shape: tuple[int, ...] = tuple(int(n) for n in given[0]["shape"])
        self.output_shape: tuple[int, ...] = tuple(int(n) for n in made[0]["shape"])

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Runs the model on `x`, of `input_shape` and the model's dtype; the answer is the caller's own copy."""
        self._interpreter.set_tensor(self._input, x)
        self._interpreter.invoke()
        answer: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return answer
