"""Compiles models for the Edge TPU where Google's compiler is at hand; where it is not, says how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convert.edgetpu.compiled import compiler
from convert.edgetpu.compiled.compiler import Compiler
from convert.edgetpu.errors import CompilerError
from convert.errors import ConvertError, QualityError

HOW = (
    "no Edge TPU compiler here: `python -m convert.edgetpu install-compiler` gets it (x86-64 Linux), then build "
    "again; until then the bundle runs on the CPU"
)


def find(spec: str, required: bool) -> Compiler | None:
    """The compiler that `spec` names: "auto", "none" or a path; ConvertError when it is `required` and missing."""
    try:
        found = compiler.find(spec)
    except CompilerError as error:
        raise ConvertError(str(error)) from None
    if found is None and required:
        raise ConvertError(f"--require-coral: {HOW}")
    return found


def version(found: Compiler) -> str:
    try:
        return found.version()
    except CompilerError as error:
        raise ConvertError(str(error)) from None


def compile_together(found: Compiler, models: Sequence[Path], out: Path) -> None:
    """Writes NAME_edgetpu.tflite and its log to `out` for each of the models, which share one chip.

    QualityError when an operator stays off the TPU.
    """
    try:
        results = found.compile_together(models, out)
    except CompilerError as error:
        raise ConvertError(str(error)) from None
    for model, result in zip(models, results, strict=True):
        if not result.complete:
            left = result.mapped.count(False)
            why = f"; {result.differences[0]}" if result.differences else ""
            raise QualityError(
                f"the compiler left {left} of {len(result.mapped)} {model.stem} operators off the Edge TPU{why}"
            )
