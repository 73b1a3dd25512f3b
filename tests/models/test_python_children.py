"""Children of this project's programs run its own modules, whatever lies in the working directory (CWE-427)."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from convert import subprocess_runner
from convert.errors import ConvertError
from device.inference.edgetpu.client import CoralFailed, open_coral
from models import python

ROOT = Path(__file__).parents[2]
HALVES = ("device", "convert", "models", "provisioning")
INTERPRETER = re.compile(r"(\S*/)?python[\d.]*")
STARTED = re.compile(r"(^|exec |\s-- |&& )(\S*/)?python[\d.]* (?!-\w*P)(-|\S*/|$)|(^|\s)-\w*m [a-z_]+\.[a-z_.]+")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory full of modules that leave the file `sprung` when they are imported; the path of that."""
    sprung = tmp_path / "sprung"
    for name in ("pip", "compileall", "json", "device", "convert", "models"):
        folder = tmp_path / "here" / name
        folder.mkdir(parents=True)
        for file in ("__init__.py", "__main__.py"):
            (folder / file).write_text(f"open({str(sprung)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path / "here")
    return sprung


def test_a_module_is_not_looked_for_in_the_working_directory(trap: Path) -> None:
    done = subprocess.run(python.module("pip", "--version"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pip ") and not trap.exists()


@pytest.mark.parametrize("entries", ["", ":", ".", ":/nowhere", "/nowhere::here"])
def test_nor_by_an_entry_of_pythonpath(trap: Path, entries: str) -> None:
    command = python.module("convert.subprocess_runner", "convert.errors:ConvertError")
    subprocess.run(command, env=python.environment({"PYTHONPATH": entries}), check=True)
    assert not trap.exists()


def test_the_converter_and_the_coral_start_their_own(trap: Path, tmp_path: Path) -> None:
    subprocess_runner.run("convert.errors:ConvertError", log=tmp_path / "log")
    with pytest.raises(ConvertError, match="No module named 'nothing'"):
        subprocess_runner.run("nothing:at_all", log=tmp_path / "log")
    with pytest.raises(CoralFailed):
        open_coral([tmp_path / "none.tflite"], "libnone.so", package="ai_edge_litert")
    assert not trap.exists()


def test_root_does_without_the_users_own_packages() -> None:
    assert "-s" in python.module("pip", root=True) and "-s" not in python.module("pip", root=False)


def programs() -> Iterator[Path]:
    """Every Python file of the product, those without a suffix too."""
    listed = subprocess.run(["git", "ls-files", "-z", *HALVES], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.suffix == ".py" or (path.is_file() and re.match(rb"#!.*python", path.read_bytes()[:40])):
            yield path


def starts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a module starts, or could start, a Python in another way than by models/python.py."""
    prose = {
        id(body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (body := node.body)
        and isinstance(body[0], ast.Expr)
    }
    prose |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    prose |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "prog"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.executable", "sys._base_executable"):
            yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module == "sys":
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name == "executable")
        if isinstance(node, ast.List | ast.Tuple):
            words = [item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
            chosen = isinstance(node, ast.List) and "-m" in words and not isinstance(node.elts[0], ast.Constant)
            if chosen or (any(map(INTERPRETER.fullmatch, words)) and len(node.elts) > 1 and isinstance(node, ast.List)):
                yield node.lineno, ast.unparse(node)
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if STARTED.search(text) and "`" not in text and id(node) not in prose:
            yield getattr(node, "lineno", 0), text


def test_there_is_no_other_way_to_start_a_python() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in programs()
        if path != Path(python.__file__)
        for line, what in starts(ast.parse(path.read_text(), str(path)))
    ]
    assert not found, "start it with models/python.py:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import sys; run([sys.executable, '-m', 'pip'])",
        "from sys import executable",
        "run([self.python, '-m', 'pip'])",
        "run(['python3', '-m', 'pip'])",
        "run(['chroot', tree, '/usr/bin/python3.11', 'x.py'])",
        "run(f'exec python3 {folder}/keys.py', shell=True)",
        "run(f'exec {quote(interpreter)} -m provisioning.image.trim', shell=True)",
    ],
)
def test_the_search_for_other_ways_finds_them(text: str) -> None:
    assert list(starts(ast.parse(text)))


def test_installed_programs_import_from_where_they_are_installed() -> None:
    overlay = ROOT / "provisioning" / "rootfs-overlay" / "all"
    installed = [path for path in programs() if path.is_relative_to(overlay) and path.suffix != ".py"]
    assert installed
    assert all(path.read_text().startswith("#!/usr/bin/python3 -sP\n") for path in installed)
