"""What a build is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The options of `python convert/build.py`, which its --help explains."""

    cache: Path
    model: str = ""  # a name below models/; the models of the product without one
    onnx: Path | None = None
    manifest: Path | None = None
    out: Path | None = None
    compiler: str = "auto"
    require_coral: bool = False
    calibration: Path | None = None
    speech: Path | None = None
    comparison: Path | None = None
    prebuilt: bool = False
    ship: bool = False
    force: bool = False
