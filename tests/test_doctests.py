"""The examples in docstrings give what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UPDATER = ROOT / "provisioning/rootfs-overlay/all/usr/lib/dictate"
"""On the path of the tests, since the updater's modules are installed without the folders above them."""


def module(path: Path) -> str:
    """The dotted name that a file is imported under."""
    place = path.relative_to(UPDATER if path.is_relative_to(UPDATER) else ROOT)
    return ".".join(place.with_suffix("").parts).removesuffix(".__init__")


def python_files() -> Iterator[Path]:
    for top in ("device", "convert", "models", "provisioning"):
        yield from sorted((ROOT / top).rglob("*.py"))


def runs(statement: ast.stmt) -> bool:
    """Whether importing a module with this statement calls its `main`, and so does its work, or waits for ever."""
    return isinstance(statement, ast.Expr) and "main" in {
        node.func.id for node in ast.walk(statement) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


MODULES = [module(path) for path in python_files() if ">>> " in path.read_text(encoding="utf-8")]


def test_importing_a_module_runs_nothing() -> None:
    """A program says `if __name__ == "__main__"`: two that did not kept this test waiting for key presses."""
    wrong = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in python_files()
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if runs(statement)
    ]
    assert wrong == []
    assert runs(ast.parse("sys.exit(main())").body[0]) and not runs(ast.parse("def main(): ...").body[0])


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module)
    assert failed == 0, "see the captured output"
