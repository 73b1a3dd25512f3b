"""Files are written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models import files

ROOT = Path(__file__).resolve().parents[2]


def test_content_and_mode(tmp_path: Path) -> None:
    files.write(tmp_path / "text", "Grüße\n")
    files.write(tmp_path / "bytes", b"\0\xff", 0o600)
    assert (tmp_path / "text").read_bytes() == "Grüße\n".encode() and (tmp_path / "bytes").read_bytes() == b"\0\xff"
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("text", "bytes")] == [0o644, 0o600]
    assert len(list(tmp_path.iterdir())) == 2


def test_nobody_else_reads_it_before_it_has_its_mode(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "key") as part:
        assert part.stat().st_mode & 0o777 == 0o600 and part.parent == tmp_path


def test_a_link_may_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("before")
    with files.replacing(tmp_path / "place") as part:
        part.unlink()
        part.symlink_to("nowhere")
    assert (tmp_path / "place").readlink() == Path("nowhere")


def test_a_missing_folder_is_the_callers_to_make(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "none" / "x", "")


def test_a_process_that_is_killed_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("before")
    code = """
import os, signal, sys
from pathlib import Path
from models import files
with files.replacing(Path(sys.argv[1])) as part:
    part.write_text("half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "place")], cwd=ROOT).returncode == -9
    assert (tmp_path / "place").read_text() == "before"
    files.write(tmp_path / "place", "after")
    assert (tmp_path / "place").read_text() == "after"
