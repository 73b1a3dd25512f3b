"""What is typed for sentences, and the sentences of tests/data with the forms that are right."""

from __future__ import annotations

from pathlib import Path

from device.text import formatter
from device.text.edits import apply
from device.text.formatter import Rules, TextFormatter

DATA = Path(__file__).parents[1] / "data"
NAMES = {("o'brien",): "O'Brien", ("pie", "torch"): "PyTorch", ("iphone",): "iPhone"}
"""Words of a user."""


def written(*segments: str, rules: Rules | None = None, punctuated: bool = False) -> str:
    """What is typed for segments; a bar stands for a pause within one."""
    writer = TextFormatter(rules)
    writer.begin()
    document = ""
    for segment in segments:
        document = apply(document, writer.segment(*formatter.pauses(segment), punctuated))
    return document


def sentences(file: Path) -> list[tuple[str, list[str]]]:
    """What is said in a table of tests/data, and the forms that are right."""
    rows = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#"))
    return [(said, forms.split(" | ")) for said, forms in ((row[0], (row[1:] or [capital(row[0])])[0]) for row in rows)]


def capital(said: str) -> str:
    return said[:1].upper() + said[1:]
