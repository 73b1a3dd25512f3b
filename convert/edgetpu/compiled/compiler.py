"""Finds and runs edgetpu_compiler, and reports what it did in the same terms as the prediction."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convert.edgetpu import install
from convert.edgetpu.compiled import compare, executable, output
from convert.edgetpu.compiled.executable import CompiledModel
from convert.edgetpu.compiled.output import Summary
from convert.edgetpu.errors import CompilerError, CompilerNotFound, CompilerTimeout, ModelRefused
from convert.edgetpu.predict import mapping
from convert.edgetpu.predict.mapping import Prediction

TIMEOUT_S = 180
GRACE_S = 10


@dataclass(frozen=True)
class Compilation:
    """A finished run. `differences` says, a sentence each, where the compiler did not do as predicted."""

    model: Path
    log: Path
    summary: Summary
    compiled: CompiledModel
    prediction: Prediction
    mapped: tuple[bool, ...]
    differences: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Every operator runs on the Edge TPU."""
        return all(self.mapped)

    def left(self) -> Iterator[str]:
        """One sentence for each row of the compiler's table that stayed on the CPU: what to change."""
        for row in self.summary.rows:
            if not row.mapped:
                advice = output.STATUS_ADVICE.get(row.status, "an unknown status")
                yield f"{row.count} {row.op} on the CPU ({row.status}): {advice}"


@dataclass(frozen=True)
class Compiler:
    """An edgetpu_compiler, as the command that starts it.

    >>> compiler = find("auto")
    >>> compiler is None or compiler.version().startswith("16.")
    True
    """

    command: tuple[str, ...]

    def version(self) -> str:
        """The compiler's version, such as 16.0.384591198."""
        text = self._run(["--version"], timeout_s=GRACE_S)
        found = output.parse(text).version
        if not found:
            raise CompilerError(f"{self.command[0]} --version does not name an Edge TPU compiler: {_tail(text)}")
        return found

    def compile(
        self,
        model: Path,
        out_dir: Path,
        *,
        timeout_s: int = TIMEOUT_S,
        search_delegate: bool = False,
        minimum_runtime: int | None = None,
    ) -> Compilation:
        """Compile the TFLite file `model` into `out_dir`/<stem>_edgetpu.tflite and .log.

        `search_delegate` retries with ever fewer operators where the compiler crashes; `minimum_runtime` asks
        for a package that older runtimes accept (16.0 writes 14). Nothing is left in `out_dir` unless the run
        succeeds. Raises CompilerError with one sentence that says what to change.
        """
        (done,) = self.compile_together(
            [model],
            out_dir,
            timeout_s=timeout_s,
            search_delegate=search_delegate,
            minimum_runtime=minimum_runtime,
        )
        return done

    def compile_together(
        self,
        models: Sequence[Path],
        out_dir: Path,
        *,
        timeout_s: int = TIMEOUT_S,
        search_delegate: bool = False,
        minimum_runtime: int | None = None,
    ) -> tuple[Compilation, ...]:
        """Compile `models`, of different names, in one run, so that their parameters share the chip's memory.

        All get one caching token: the driver keeps the parameters of all of them on the chip, the first ones' first,
        and streams what does not fit. Options and errors are those of `compile`; it is all of the models or none.
        """
        if len({model.stem for model in models}) < len(models):
            raise CompilerError("models that are compiled together need different names: rename one")
        sources = [_read(model) for model in models]
        predictions = [_predict(source) for source in sources]
        _make(out_dir)
        with tempfile.TemporaryDirectory(prefix=".compiling-", dir=out_dir) as scratch:
            options = ["--out_dir", scratch, "--show_operations", "--timeout_sec", str(timeout_s)]
            options += ["--search_delegate"] if search_delegate else []
            options += [] if minimum_runtime is None else ["--min_runtime_version", str(minimum_runtime)]
            text = self._run([*options, *(str(model.resolve()) for model in models)], timeout_s=timeout_s + GRACE_S)
            made = [Path(scratch, f"{model.stem}_edgetpu.tflite") for model in models]
            for model, path, prediction in zip(models, made, predictions, strict=True):
                if not output.succeeded(text) or not path.exists():
                    raise ModelRefused(_refused(model, text, prediction))
            results = [
                _examine(path, output.section(text, model), source, prediction)
                for model, path, source, prediction in zip(models, made, sources, predictions, strict=True)
            ]
            _require_one_token(results)
            return tuple(_write_outputs(result, out_dir) for result in results)

    def _run(self, arguments: list[str], timeout_s: float) -> str:
        try:
            process = subprocess.Popen(
                [*self.command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            raise CompilerNotFound(
                f"{self.command[0]} does not start ({error.strerror}): the compiler is an x86-64 program; "
                "install it with `python -m convert.edgetpu install-compiler` on an x86-64 machine"
            ) from error
        try:
            text, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise CompilerTimeout(
                f"the compiler did not finish within {timeout_s:.0f} s: give it more time, or compile a "
                "part of the model to find the operator that it hangs on"
            ) from error
        finally:
            _kill(process)
        return text


def find(spec: str, cache: Path | None = None) -> Compiler | None:
    """The compiler that `spec` names: "none", a path, or "auto" for the first on PATH or in the user's cache.

    `cache` is where install-compiler keeps it. Returns None for "none", and for "auto" where there is none;
    raises CompilerNotFound for a path without an executable file.
    """
    if spec == "none":
        return None
    if spec == "auto":
        on_path = shutil.which(install.PROGRAM)
        command = (on_path,) if on_path else install.installed(cache or install.cache_directory())
        return None if command is None else Compiler(command)
    path = Path(spec)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise CompilerNotFound(
            f"{path} is no executable file: give the path of {install.PROGRAM}, or `auto` after "
            "`python -m convert.edgetpu install-compiler`"
        )
    return Compiler((str(path.resolve()),))


def _examine(made: Path, text: str, source: bytes, prediction: Prediction) -> Compilation:
    content = made.read_bytes()
    log = made.with_suffix(".log")
    if not log.exists():
        log.write_text(text)
    summary = output.parse(text)
    rows = output.parse_rows(log.read_text(errors="replace")) or summary.rows
    summary = replace(summary, rows=rows)
    try:
        compiled = executable.read(content)
    except executable.NotCompiled as error:
        reason = next((str(verdict) for verdict in prediction.unmapped), "no reason predicted")
        raise ModelRefused(f"the compiler mapped no operator at all; first: {reason}") from error
    except ValueError as error:
        raise CompilerError(f"the compiler wrote a file that does not read back: {error}") from error
    mapped = compare.mapped_ops(source, content)
    ops, table = compare.op_differences(prediction, mapped), compare.table_differences(prediction, rows)
    return Compilation(made, log, summary, compiled, prediction, mapped, (*ops, *table))


def _require_one_token(results: Sequence[Compilation]) -> None:
    """CompilerError where models that were compiled together would push each other's parameters off the chip."""
    tokens = {
        item.caching_token
        for result in results
        for region in result.compiled.regions
        for item in region.executables
        if item.type == "PARAMETER_CACHING"
    }
    if len(tokens) > 1:
        raise CompilerError(
            f"the compiler gave {len(results)} models {len(tokens)} caching tokens in place of one: each call would "
            "send its parameters again; use compiler 16.0"
        )


def _write_outputs(result: Compilation, out_dir: Path) -> Compilation:
    log, compiled = out_dir / result.log.name, out_dir / result.model.name
    result.log.replace(log)
    result.model.replace(compiled)
    return replace(result, model=compiled, log=log)


def _read(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise CompilerError(f"{model} cannot be read: {error.strerror}") from error


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompilerError(f"{directory} cannot be made: {error.strerror}") from error


def _predict(source: bytes) -> Prediction:
    try:
        return mapping.predict(source)
    except ValueError as error:
        raise ModelRefused(str(error)) from error


def _refused(model: Path, text: str, prediction: Prediction) -> str:
    advice = output.refusal(text)
    if advice is None and prediction.refusals:
        advice = f"as predicted: {prediction.refusals[0]}"
    return f"the compiler refused {model.name}: {advice or 'for an unknown reason: ' + _tail(text)}"


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it printed nothing"


def _kill(process: subprocess.Popen[str]) -> None:
    """End the compiler and the child process that it compiles in."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
