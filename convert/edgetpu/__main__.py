"""`python -m convert.edgetpu`: predict, compile, inspect and compare models for the Edge TPU."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convert.edgetpu import install, report, workload
from convert.edgetpu.compiled import compare, compiler, executable
from convert.edgetpu.predict import mapping
from models.errors import UserError


class Problem(Exception):
    """Ends the program with its message."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 1 if --strict found something, 2 with one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (UserError, Problem, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was kept", file=sys.stderr)
        return 130


def check(options: argparse.Namespace) -> int:
    found = workload.loads(options.model)
    models = {load.name: report.Planned(mapping.predict(_content(load.path)), load.calls) for load in found}
    if len(models) == 1:
        (only,) = models.values()
        _print(options, report.prediction_object(only.prediction), report.prediction_text(only.prediction))
    else:
        _print(options, report.plan_object(models), report.plan_text(models))
    return int(options.strict and not all(model.prediction.complete for model in models.values()))


def inspect(options: argparse.Namespace) -> int:
    model = executable.read(_content(options.model))
    _print(options, report.compiled_object(model), report.compiled_text(model))
    return int(options.strict and any(True for _ in model.warnings()))


def compare_files(options: argparse.Namespace) -> int:
    """Compare the prediction for a source model with what the compiler made of it."""
    source = _content(options.source)
    mapped = compare.mapped_ops(source, _content(options.compiled))
    differences = list(compare.op_differences(mapping.predict(source), mapped))
    agree = len(mapped) - len(differences)
    summary = f"{agree} of {len(mapped)} operators as predicted"
    _print(options, {"ops": len(mapped), "differences": differences}, [*differences, summary])
    return int(options.strict and bool(differences))


def compile_model(options: argparse.Namespace) -> int:
    found = compiler.find(options.compiler)
    if found is None:
        raise Problem("there is no compiler: install it with `python -m convert.edgetpu install-compiler`")
    compiled = found.compile_together(
        options.model, options.out_dir, timeout_s=options.timeout, search_delegate=options.search_delegate
    )
    lines, objects = [], []
    for done in compiled:
        mapped = f"{sum(done.mapped)} of {len(done.mapped)} operators run on the Edge TPU"
        lines += [*done.left(), *done.differences, *report.compiled_text(done.compiled), f"{done.model}: {mapped}"]
        fields = {
            "model": str(done.model),
            "log": str(done.log),
            "differences": list(done.differences),
            "left": list(done.left()),
        }
        objects.append({**fields, **report.compiled_object(done.compiled)})
    _print(options, objects[0] if len(objects) == 1 else {"models": objects}, lines)
    return int(options.strict and not all(done.complete for done in compiled))


def install_compiler(options: argparse.Namespace) -> int:
    lock = install.Lock.read(options.lock)

    def waiting() -> None:
        print("another process is installing the compiler; waiting for it", file=sys.stderr, flush=True)

    command = install.install(lock, options.cache or install.cache_directory(), options.archive, waiting)
    print(f"Edge TPU compiler {lock.version} is ready: {' '.join(command)}")
    return 0


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from error


def _print(options: argparse.Namespace, as_object: dict[str, Any], lines: Iterable[str]) -> None:
    if options.json:
        print(json.dumps(as_object, indent=2))
    else:
        print("\n".join(lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert.edgetpu", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("--strict", action="store_true", help="exit with 1 where something is not as wished")

    command = commands.add_parser("check", parents=[common], help="predict which operators the TPU runs")
    command.add_argument("model", type=Path, nargs="+", help="an int8 .tflite file or a bundle; several share the chip")
    command.set_defaults(run=check)

    command = commands.add_parser("inspect", parents=[common], help="show what a compiled model holds")
    command.add_argument("model", type=Path, help="a *_edgetpu.tflite file")
    command.set_defaults(run=inspect)

    command = commands.add_parser("compare", parents=[common], help="compare compiler and prediction")
    command.add_argument("source", type=Path, help="the .tflite file that was compiled")
    command.add_argument("compiled", type=Path, help="the *_edgetpu.tflite file made of it")
    command.set_defaults(run=compare_files)

    command = commands.add_parser("compile", parents=[common], help="run the compiler")
    command.add_argument("model", type=Path, nargs="+", help="an int8 .tflite file; several share the chip")
    command.add_argument("--out-dir", type=Path, default=Path(), help="where to write (default: here)")
    command.add_argument("--compiler", default="auto", help="auto, or the path of edgetpu_compiler")
    command.add_argument("--timeout", type=int, default=compiler.TIMEOUT_S, help="seconds (default: 180)")
    command.add_argument("--search-delegate", action="store_true", help="drop operators until it compiles")
    command.set_defaults(run=compile_model)

    command = commands.add_parser("install-compiler", help="download the pinned compiler into your cache")
    command.add_argument("--archive", type=Path, help="a copy of the archive, instead of downloading it")
    command.add_argument("--cache", type=Path, help="where to keep it (default: your cache)")
    command.add_argument("--lock", type=Path, default=install.LOCK, help="another lock file")
    command.set_defaults(run=install_compiler)
    return parser


if __name__ == "__main__":
    sys.exit(main())
