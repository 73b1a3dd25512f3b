"""What reaches a terminal holds no control character but our own, wherever it came from."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import terminal

ROOT = Path(__file__).parents[2]
EVIL = "\x1b]0;title\x07\x1b[2J\x9b1m\x7f"


@given(text=st.text(st.characters(max_codepoint=0x2FFF, exclude_characters="\n\t")))
def test_what_is_visible_is_text(text: str) -> None:
    shown = terminal.visible(text)
    assert not terminal.HIDDEN.search(shown)
    shown.encode()
    assert terminal.visible(shown) == shown


@given(text=st.text())
def test_a_stream_writes_nothing_else(text: str) -> None:
    stream = io.StringIO()
    print(text, "x", sep="", file=terminal.plain(stream))
    begun = terminal.OWN.match(stream.getvalue())
    assert begun and not terminal.HIDDEN.search(stream.getvalue()[begun.end() :])


@pytest.mark.parametrize("text", ["\r\x1b[Khello", "\rhello", "\b \b\b \bhello", "naïve café\t1\n", "سلام‌ها"])
def test_what_our_own_programs_write_passes(text: str) -> None:
    stream = io.StringIO()
    terminal.plain(stream).write(text)
    assert stream.getvalue() == text


def test_names_are_the_bytes_that_they_are_where_that_is_asked_for() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", write_through=True)
    terminal.plain(stream).write(b"\xffa\x1b\x80".decode("utf-8", "surrogateescape"))
    assert raw.getvalue() == b"\xffa\\x1b\x80"


def commands(evil: Path) -> list[list[str | Path]]:
    """Commands that say the name of a file."""
    dictate: list[str | Path] = [sys.executable, "-P", "-m", "device.cli"]
    return [
        [*dictate, "config", "--config", evil],
        [*dictate, "transcribe", "--bundle", evil, evil],
        [*dictate, "words", "list", "--config", evil],
        [*dictate, str(evil)],
        [*dictate, "run", "--config", evil],
        [sys.executable, ROOT / "convert/build.py", "--onnx", evil, "--manifest", evil],
        [sys.executable, ROOT / "provisioning/make-update", "--key", evil, "--release", evil, "--out", evil / "x"],
        [sys.executable, ROOT / "provisioning/flash", evil, evil],
        [sys.executable, ROOT / "provisioning/coral-lock", "record", evil],
        [
            sys.executable,
            ROOT / "provisioning/rootfs-overlay/all/usr/lib/dictate/release",
            "--root",
            evil,
            "update",
            evil,
        ],
    ]


@pytest.mark.parametrize("number", range(10))
def test_a_path_with_escape_sequences_reaches_no_terminal(tmp_path: Path, number: int) -> None:
    command = commands(tmp_path / EVIL)[number]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode and said
    assert not terminal.HIDDEN.search(said), said


def test_every_entry_point_is_guarded() -> None:
    mains = [ROOT / "device/cli/__init__.py", *ROOT.glob("provisioning/*/cli.py")]
    mains += [
        ROOT / "provisioning" / name
        for name in ("flasher/flash.py", "installer/install.py", "make-update", "coral-lock")
    ]
    for path in mains:
        (main,) = (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == "main")
        blocks = [item.context_expr for node in main.body if isinstance(node, ast.With) for item in node.items]
        assert any(ast.unparse(guard) == "terminal.guarded()" for guard in [*main.decorator_list, *blocks]), path
