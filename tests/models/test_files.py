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


TURN = """
import os, signal, sys
from pathlib import Path
from models import files
with files.alone(Path(sys.argv[1]), lambda: print("waiting", flush=True)):
    print("in", flush=True)
    if sys.stdin.readline() == "die\\n":
        os.kill(os.getpid(), signal.SIGKILL)
"""
COUNT = """
import sys
from pathlib import Path
from models import files
counter = Path(sys.argv[1])
for _ in range(200):
    with files.alone(counter):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def turn(path: Path, code: str = TURN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("order", ["end\n", "die\n"])
def test_the_second_process_waits_and_says_so_until_the_first_is_done_or_killed(tmp_path: Path, order: str) -> None:
    first, second = turn(tmp_path / "place"), None
    try:
        assert first.stdout and first.stdout.readline() == "in\n"
        second = turn(tmp_path / "place")
        assert second.stdout and second.stdout.readline() == "waiting\n"
        other = turn(tmp_path / "elsewhere")
        assert other.communicate("end\n", timeout=60)[0] == "in\n"
        first.communicate(order, timeout=60)
        assert second.communicate("end\n", timeout=60)[0] == "in\n"
        assert [*tmp_path.iterdir()] == []
    finally:
        for process in (first, second):
            if process:
                process.kill()


def test_no_two_processes_are_in_at_once_although_each_removes_the_lock(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    for process in [turn(counter, COUNT) for _ in range(3)]:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert counter.read_text() == "600"
    assert [*tmp_path.iterdir()] == [counter]


def test_a_lock_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.alone(tmp_path / "none" / "x"):
        pass
