"""The process that talks to the Coral, because a native call that crashes or never returns takes its process down.

Started by `device.inference.edgetpu.client` as `python -m device.inference.edgetpu.worker`; speaks lines of JSON over
an inherited socket and keeps windows and results in an inherited memory file. It loads libedgetpu and all models on one
delegate, runs one window of zeros through each (a wrong library pairing often crashes only then), says that it is
ready, and then answers one line per window; the line that asks is the number of the model.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import mmap
import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.inference.edgetpu import compatibility

OUT_OF_ORDER = 3


@dataclass(frozen=True)
class LoadedModel:
    """Loaded models on the Coral: an interpreter each, and how they were loaded, for the record."""

    interpreters: list[Any]
    route: str


def main() -> int:
    options = _parser().parse_args()
    control = socket.socket(fileno=options.control)
    lines = control.makefile("rw", encoding="utf-8", buffering=1)
    _leave_with_parent(options.lifeline)
    _use_every_core()
    try:
        engine = load(options.models, options.library, options.interpreter)
        buffers = _shared(engine.interpreters, options.memory)
        for interpreter in engine.interpreters:
            interpreter.invoke()
    except Exception as error:
        _say(lines, {"error": _sentence(error)})
        return OUT_OF_ORDER
    shapes = [model.shapes() for model in buffers]
    _say(lines, {"ready": {"models": shapes, "route": engine.route, "runtime": runtime(options.library)}})
    for line in lines:
        try:
            buffers[int(line)].run()
        except Exception as error:
            _say(lines, {"error": _sentence(error)})
            return OUT_OF_ORDER
        _say(lines, {"done": True})
    return 0


def load(models: Sequence[str], library: str, package: str) -> LoadedModel:
    """Load `models` with Coral's pycoral if that and tflite_runtime, which it runs on, are installed.

    Otherwise with load_delegate of `package`: there is no tflite_runtime for Python 3.12 and later. All models are
    given the same delegate (pycoral keeps one itself): a second one would have to open the Coral a second time.
    """
    if compatibility.coral_pycoral() and importlib.util.find_spec("tflite_runtime"):
        pycoral = importlib.import_module("pycoral.utils.edgetpu")
        version = importlib.metadata.version("tflite-runtime")
        made = [pycoral.make_interpreter(model, device="usb") for model in models]
        engine = LoadedModel(made, f"pycoral on tflite_runtime {version}")
    else:
        module = importlib.import_module(f"{package}.interpreter")
        version = importlib.metadata.version(package.replace("_", "-"))
        delegate = module.load_delegate(library, {"device": "usb"})
        made = [module.Interpreter(model_path=model, experimental_delegates=[delegate]) for model in models]
        engine = LoadedModel(made, f"load_delegate on {package} {version}")
    for interpreter in engine.interpreters:
        interpreter.allocate_tensors()
    return engine


def runtime(library: str) -> str:
    """What libedgetpu says of itself, such as `BuildLabel(...), RuntimeVersion(14)`; empty if it says nothing."""
    try:
        version = ctypes.CDLL(library).edgetpu_version
    except (OSError, AttributeError):
        return ""
    version.restype = ctypes.c_char_p
    return str(version().decode("utf-8", "replace"))


class _Buffers:
    """The one input and output of the interpreter, copied from and to the memory shared with the parent."""

    def __init__(self, interpreter: Any) -> None:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"the model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        self._interpreter = interpreter
        self._input, self._output = inputs[0], outputs[0]
        for tensor in (self._input, self._output):
            if tensor["dtype"] != np.int8:
                raise ValueError(f"tensor {tensor['name']} is {np.dtype(tensor['dtype'])}, not int8")
        self._sizes = [int(np.prod(tensor["shape"])) for tensor in (self._input, self._output)]
        self.size = sum(self._sizes)

    def share(self, memory: NDArray[np.int8]) -> None:
        """Use these `size` bytes, the input first."""
        self._window = memory[: self._sizes[0]].reshape(self._input["shape"])
        self._result = memory[self._sizes[0] :].reshape(self._output["shape"])

    def shapes(self) -> list[list[int]]:
        """Of the input and of the output."""
        return [tensor["shape"].tolist() for tensor in (self._input, self._output)]

    def run(self) -> None:
        self._interpreter.set_tensor(self._input["index"], self._window)
        self._interpreter.invoke()
        self._result[...] = self._interpreter.get_tensor(self._output["index"])


def _shared(interpreters: list[Any], memory: int) -> list[_Buffers]:
    """The tensors of all interpreters, one model after another in the memory file."""
    buffers = [_Buffers(interpreter) for interpreter in interpreters]
    ends = np.cumsum([model.size for model in buffers])
    os.ftruncate(memory, int(ends[-1]))
    parts = np.split(np.frombuffer(mmap.mmap(memory, int(ends[-1])), np.int8), ends[:-1])
    for model, part in zip(buffers, parts, strict=True):
        model.share(part)
    return buffers


def _use_every_core() -> None:
    """Undo the pinning inherited from the encoder's thread: loading must not compete with the sentence in progress."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _leave_with_parent(lifeline: int) -> None:
    """End at once when the parent is gone, even inside a native call that does not return."""

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(OUT_OF_ORDER)

    threading.Thread(target=watch, daemon=True).start()


def _say(lines: Any, message: dict[str, Any]) -> None:
    lines.write(json.dumps(message) + "\n")
    lines.flush()


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--interpreter", required=True)
    for name in ("--control", "--memory", "--lifeline"):
        parser.add_argument(name, type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
