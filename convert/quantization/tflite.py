"""TensorFlow Lite on the build machine's CPU, with the plain kernels and without a word on standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType


def interpreter(model: Path | bytes, every_tensor: bool = False) -> Any:
    """An allocated interpreter of a file or its content; with `every_tensor`, intermediate tensors can be read too."""
    source = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
    made = Interpreter(
        **source,
        num_threads=1,
        experimental_preserve_all_tensors=every_tensor,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    made.allocate_tensors()
    return made
