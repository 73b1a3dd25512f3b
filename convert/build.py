"""The command that builds a bundle; convert/__main__.py is what it does."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __package__ in (None, ""):  # run as a script, on any Python: its own directory is no place to import from
    sys.path[0] = str(ROOT)
    conversion = () if {"--prebuilt", "--help", "-h"} & {*sys.argv} else ("onnx", "onnx2tf", "onnxsim", "tensorflow")
    if missing := [name for name in ("numpy", "onnxruntime", "rich", *conversion) if find_spec(name) is None]:
        environment = ROOT / ".venv"
        if Path(sys.prefix).resolve() != environment.resolve() and (environment / "bin" / "python").exists():
            os.execv(environment / "bin" / "python", [str(environment / "bin" / "python"), *sys.argv])
        sys.exit(
            f"build: this Python has no {missing[0]}; run `make bundle`, which sets up .venv with all that it takes"
        )

from convert.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
