"""Draw docs/live.svg: a real `dictate live` on a terminal, in the middle of the last of three recorded sentences.

.venv/bin/python tests/system/live_picture.py docs/live.svg
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from device.bench.speech import TESTDATA

DICTATE = Path(sys.executable).with_name("dictate")
CLIPS = ("0930", "0890", "0870")
COLUMNS = 76


def recording(folder: Path) -> Path:
    """Three sentences with a second of quiet after each, and what ends them all."""
    parts, rate = [], 16_000
    for clip in CLIPS:
        sound, rate = soundfile.read(TESTDATA / f"sense_and_sensibility_01_austen_64kb-{clip}.wav", dtype="int16")
        parts += [sound, np.random.default_rng(0).normal(0, 4, rate).astype(np.int16)]
    soundfile.write(folder / "sentences.wav", np.concatenate(parts), rate)
    return folder / "sentences.wav"


def written(sound: Path, folder: Path) -> str:
    """All that `dictate live` writes to its terminal."""
    ours, theirs = pty.openpty()
    options = ["--set=audio.source=file", f"--set=audio.file={sound}", "--silence=3", "--once"]
    environ = os.environ | {"XDG_RUNTIME_DIR": str(folder), "COLUMNS": str(COLUMNS), "LINES": "20"}
    process = subprocess.Popen([DICTATE, "live", *options], stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    found = b""
    while True:
        try:
            found += os.read(ours, 65_536)
        except OSError:  # the terminal has no other end any more
            break
    assert process.wait() == 0
    return found.decode()


def screens(text: str) -> Iterator[list[str]]:
    """The rows after each change."""
    rows = [""]
    for part in re.split(r"(\r\x1b\[K|\r?\n)", text):
        if part.endswith("\n"):
            rows.append("")
        elif part == "\r\x1b[K":
            rows[-1] = ""
        else:
            rows[-1] += part
            yield list(rows)


def draw(rows: list[str]) -> str:
    """An SVG that needs no font from the network."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print("[bold]$ dictate live[/bold]")
    for row in rows:
        text, bar, said = row.partition(" | ")
        console.print(text, end="", highlight=False, markup=False)
        console.print(f"[dim]{bar}{said}[/dim]", highlight=False)
    without_web_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S)
    plain = without_web_fonts.replace("Fira Code, monospace", "monospace")
    return console.export_svg(title="dictate live", code_format=plain, unique_id="live")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("svg", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = written(recording(Path(folder)), Path(folder))
    speaking = [rows for rows in screens(text) if " | " in rows[-1] and len(rows[-1]) < COLUMNS - 6]
    arguments.svg.write_text(draw(speaking[-1]), encoding="utf-8")


if __name__ == "__main__":
    main()
