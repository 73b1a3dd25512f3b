"""`python convert/build.py` on any Python: it goes on in .venv, or says in a line what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "convert" / "build.py"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "convert").mkdir()
    return Path(shutil.copy(SCRIPT, tmp_path / "convert"))


def start(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run by a Python that has no packages but its own."""
    return subprocess.run([sys.executable, "-I", "-S", script, *arguments], capture_output=True, text=True)


def test_without_an_environment_one_line_says_what_to_do(script: Path) -> None:
    done = start(script)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "make bundle" in done.stderr


def test_with_an_environment_it_goes_on_there(script: Path) -> None:
    python = script.parents[1] / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "in .venv: $*"\n')
    python.chmod(0o755)
    done = start(script, "--out", "there")
    assert (done.returncode, done.stdout) == (0, f"in .venv: {script} --out there\n"), done.stderr
