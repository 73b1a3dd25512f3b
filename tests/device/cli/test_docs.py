"""The tables in docs/ are what the code makes of its own data, and what is shown there works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from device.cli import doctables

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", ["dictating.md", "typing.md", "configuration.md", "build-it.md"])
def test_tables_are_up_to_date(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert doctables.fill(text) == text, "run: python -m device.cli.doctables docs/*.md"


def test_every_table_is_somewhere() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert set(re.findall(r"<!-- table: (\w+) -->", pages)) >= set(doctables.TABLES)


def test_filling_twice_is_filling_once() -> None:
    once = doctables.fill("a\n<!-- table: layouts -->\nold\n<!-- end -->\nb\n")
    assert doctables.fill(once) == once
    assert "old" not in once
    assert once.startswith("a\n") and once.endswith("b\n")
