"""Writes the picture that a command was asked to draw."""

from __future__ import annotations

from pathlib import Path

from models.errors import UserError


def write(path: Path, picture: str) -> int:
    """Write an SVG to `path` and return 0, the command's exit status. Raises UserError."""
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; name another file") from None
    return 0
