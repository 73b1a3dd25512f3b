"""No test is skipped for what could have been installed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import Need, skip, unless

HERE = Path(__file__).parent
WAYS = {"skip", "skipif", "importorskip", "SkipTest", "skipTest", "skipIf", "skipUnless"}


def ways_around(path: Path) -> Iterator[str]:
    """Where a module skips by itself: pytest.skip and its like, by attribute or by name."""
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in WAYS:
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in ("pytest", "unittest", "self"):
                yield f"{path.relative_to(HERE)}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("pytest", "unittest"):
            yield from (
                f"{path.relative_to(HERE)}:{node.lineno}: {name.name}" for name in node.names if name.name in WAYS
            )


def test_tests_are_skipped_only_by_needs_py() -> None:
    around = [
        line
        for path in sorted(HERE.rglob("*.py"))
        if path.name not in ("needs.py", "test_skips.py")
        for line in ways_around(path)
    ]
    assert around == [], "say what the machine lacks with tests/support/needs.py, or add the package to packages.toml"


@pytest.mark.parametrize("need", Need)
def test_a_reason_begins_with_the_need(need: Need) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"^{need.value}: a thing$"):
        skip(need, "a thing")
    assert unless(False, need, "a thing").kwargs == {"reason": f"{need.value}: a thing"}


def test_the_search_for_other_ways_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ways_around.__globals__, "HERE", tmp_path)
    file = tmp_path / "test_x.py"
    file.write_text("from pytest import skip\npytest.importorskip('x')\n@pytest.mark.skipif(True)\ndef f(): ...\n")
    assert len(list(ways_around(file))) == 3
