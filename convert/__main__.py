"""Turn acoustic models into bundles that the device can run.

    python convert/build.py
    python convert/build.py --model moonshine-tiny
    python convert/build.py --onnx quartznet.onnx --manifest quartznet.toml --out models/build/quartznet

Without --model, all models that the appliance uses are built and compiled together; --out, --calibration and
--comparison are about one model, the base model unless --model names another. Each stage is kept under the hash of what
it was made from, so a second run does only what has changed. A failed build never touches the last good bundle. With
--prebuilt, the int8 models that the repository ships take the place of the conversion, which needs TensorFlow.

Exit status: 0, 1 for an error, 3 where only a model could not be fetched that the appliance can do without.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from convert import pipeline
from convert.errors import IncompleteError
from convert.options import Options
from convert.progress import Display
from models.errors import UserError
from models.terminal import visible

ROOT = Path(__file__).resolve().parents[1]
INCOMPLETE = 3


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser(prog="convert/build.py", description=(__doc__ or "").splitlines()[0])
    which = described.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="NAME", help="a model below models/ (default: all that the appliance uses)")
    which.add_argument("--onnx", type=Path, help="your own model; needs --manifest")
    described.add_argument("--manifest", type=Path, help="its manifest (see docs/models.md)")
    described.add_argument("--out", type=Path, help="where the bundle goes (default: models/build/NAME)")
    described.add_argument("--compiler", default="auto", help="auto, none, or the path of edgetpu_compiler")
    described.add_argument("--require-coral", action="store_true", help="fail where the models cannot be compiled")
    described.add_argument("--calibration", type=Path, metavar="DIR", help="recordings to calibrate with")
    described.add_argument(
        "--speech",
        type=Path,
        metavar="DIR",
        help="recordings and transcripts.tsv to check with (default: those that are installed)",
    )
    described.add_argument(
        "--comparison",
        type=Path,
        metavar="DIR",
        help="also write the source's float32 bundle, and its ONNX forms, for `dictate bench`",
    )
    described.add_argument(
        "--prebuilt", action="store_true", help="take the int8 models that the repository ships; needs no TensorFlow"
    )
    described.add_argument(
        "--ship", action="store_true", help="also write the int8 models to the models' folders, for --prebuilt"
    )
    described.add_argument("--force", action="store_true", help="keep a bundle that does not pass the quality gates")
    described.add_argument("--cache", type=Path, default=ROOT / ".cache" / "convert", help="where stages are kept")
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds; an expected error is one line and exit status 1."""
    described = parser()
    given = described.parse_args(arguments)
    if (given.onnx is None) != (given.manifest is None):
        described.error("--onnx and --manifest belong together")
    if given.prebuilt and (given.onnx or given.calibration or given.speech or given.comparison or given.ship):
        described.error("--prebuilt converts nothing: leave out --onnx, --calibration, --speech, --comparison, --ship")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    errors = Console(stderr=True)
    try:
        pipeline.build(
            Options(
                model=given.model or ("base" if given.out or given.calibration or given.comparison else ""),
                onnx=given.onnx,
                manifest=given.manifest,
                out=given.out,
                compiler=given.compiler,
                require_coral=given.require_coral,
                calibration=given.calibration,
                speech=given.speech,
                comparison=given.comparison,
                prebuilt=given.prebuilt,
                ship=given.ship,
                force=given.force,
                cache=given.cache,
            ),
            Display(Console()),
        )
    except KeyboardInterrupt:
        errors.print("build: interrupted; the last bundle is as it was, finished stages are kept", highlight=False)
        return 130
    except (UserError, OSError) as error:
        status = INCOMPLETE if isinstance(error, IncompleteError) else 1
        reason = " ".join(str(error).split())
        if isinstance(error, OSError):
            reason = f"{error.filename or given.cache}: {error.strerror or error}; the last bundle is as it was"
        errors.print(f"build: {visible(reason)}", highlight=False, soft_wrap=True, markup=False)
        return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
