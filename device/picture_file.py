"""Writes the picture that a command was asked to draw."""

from __future__ import annotations

import sys
from pathlib import Path


def write(path: Path, picture: str) -> int:
    """Write an SVG to `path`; returns the command's exit status, 2 where it cannot be written and that was said."""
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        print(f"{path}: cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return 0
