"""ONNX Runtime on the build machine's CPU: models with one float32 input, their answers, every tensor on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Float = NDArray[np.float32]


def session(model: Path | bytes, optimize: bool = True) -> Any:
    """A session of a file or its content; without `optimize`, every tensor of the graph is computed as it stands."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be printed as well
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: Any, x: Float, outputs: Sequence[str] | None = None) -> list[Float]:
    """The answers named in `outputs` (all by default) to `x` as the session's first input."""
    answers: list[Float] = session.run(outputs, {session.get_inputs()[0].name: np.ascontiguousarray(x)})
    return answers


def reason(error: Exception) -> str:
    """What ONNX Runtime's message comes down to, without its codes."""
    return str(error).splitlines()[0].rpartition("Status Message: ")[2].strip()
