"""`make demo`: assemble the bundles with the shipped int8 models, transcribe five recordings, show what came of it.

The recordings are LibriVox clips of Debian's package pocketsphinx-testdata. Models are checked with them, never
trained on them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.table import Table
from rich.text import Text

from convert.__main__ import INCOMPLETE
from convert.quality import recordings
from device.bench.wer import normalizer

ROOT = Path(__file__).resolve().parents[2]
DICTATE = Path(sys.executable).with_name("dictate")
console = Console(highlight=False, soft_wrap=False, width=max(80, min(Console().width, 110)), record=True)


def compared(reference: str, hypothesis: str) -> tuple[Text, Text]:
    """What was said and what was heard, word by word, with the differences marked."""
    normalize = normalizer()
    alignment = jiwer.process_words(normalize(reference), normalize(hypothesis) or " ")
    said, heard = Text(), Text()
    for chunk in alignment.alignments[0]:
        right = chunk.type == "equal"
        for text, words, mark in (
            (said, alignment.references[0][chunk.ref_start_idx : chunk.ref_end_idx], "bold yellow"),
            (heard, alignment.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx], "bold red"),
        ):
            text.append("".join(f"{word} " for word in words), style="" if right else mark)
    return said, heard


def show(report: dict[str, Any]) -> None:
    """Each recording's text beside its transcript, then the numbers."""
    for item in report["items"]:
        said, heard = compared(item["reference"], item["hypothesis"])
        lines = Table.grid(padding=(0, 2))
        lines.add_row("  [dim]said[/dim]", said)
        lines.add_row("  [dim]heard[/dim]", heard)
        console.print(f"[dim]{item['file']}[/dim]", lines)
    speed = 1 / report["rtf"]
    console.print(
        f"\n  word error rate  [bold]{100 * report['wer']:.1f} %[/bold] of {report['words']} words"
        f"\n  speed            [bold]{speed:.0f} times[/bold] faster than speech on one core (RTF {report['rtf']:.3f})"
        f"\n  memory           [bold]{report['peak_rss_mb']:.0f} MB[/bold] at its peak"
        f"\n  start            [bold]{report['start_seconds']:.1f} s[/bold] to load"
        f"\n  encoder          int8, on the {report['backend'].upper()}"
    )


def picture() -> str:
    """What was printed so far, as an SVG that needs no font from the network."""
    without_web_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S)
    plain = without_web_fonts.replace("Fira Code, monospace", "monospace")
    return console.export_svg(title="make demo", code_format=plain, unique_id="demo")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw what is printed, as docs/demo.svg was")
    svg: Path | None = parser.parse_args(arguments).svg
    began = time.monotonic()
    console.rule("[bold]1  Assemble the bundles[/bold]   python convert/build.py --prebuilt", align="left")
    built = subprocess.run([sys.executable, "convert/build.py", "--prebuilt"], cwd=ROOT).returncode
    if built == INCOMPLETE:
        console.print("[yellow]going on with the first model alone[/yellow]")
    elif built:
        return 1
    with tempfile.TemporaryDirectory(prefix="dictate-demo-") as folder:
        spoken = recordings.gather(Path(folder))
        if spoken.folder is None:
            print("demo: no recordings; run: sudo apt-get install pocketsphinx-testdata", file=sys.stderr)
            return 1
        console.rule("[bold]2  Transcribe[/bold]   dictate eval DIR --backend cpu", align="left")
        console.print(f"[dim]{spoken.source}[/dim]\n")
        command = [DICTATE, "eval", folder, "--backend", "cpu", "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
        return done.returncode
    show(json.loads(done.stdout))
    if svg is not None:
        svg.write_text(picture(), encoding="utf-8")
    console.print(f"\n  Done in {time.monotonic() - began:.0f} s. Next: [bold].venv/bin/dictate transcribe FILE[/bold]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
