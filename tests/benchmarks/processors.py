"""How far the recogniser's words differ between processors, whose int8 kernels round differently.

    python tests/benchmarks/processors.py DIR
    python tests/benchmarks/processors.py DIR --cpu Haswell --cpu Nehalem

DIR holds recordings and transcripts.tsv. `dictate eval` runs on this machine and again in QEMU's user-mode emulation
(Debian: qemu-user) of each `--cpu`: Haswell has AVX2 but neither AVX-512 nor VNNI, Nehalem nothing beyond SSE 4.2.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from convert.quality.agreement import edits

ROOT = Path(__file__).resolve().parents[2]
EVAL = "import sys; sys.path[:0] = {paths!r}; from device.cli import main; sys.exit(main({arguments!r}))"


def evaluated(folder: Path, bundle: Path, emulator: list[str]) -> dict[str, Any]:
    """The report of `dictate eval --json`; the interpreter is called by its own path, which an emulator can load."""
    arguments = ["eval", str(folder), "--bundle", str(bundle), "--backend", "cpu", "--json"]
    code = EVAL.format(paths=[str(ROOT), *filter(None, sys.path[1:])], arguments=arguments)
    words = [*emulator, str(Path(sys.executable).resolve()), "-P", "-c", code]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Words to edit to come from one report's hypotheses to the other's."""
    numbers: dict[str, int] = {}

    def numbered(item: dict[str, Any]) -> list[int]:
        return [numbers.setdefault(word, len(numbers)) for word in item["hypothesis"].split()]

    return sum(edits(numbered(a), numbered(b)) for a, b in zip(one["items"], other["items"], strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "build" / "base")
    parser.add_argument("--cpu", action="append", metavar="MODEL", help="of `qemu-x86_64 -cpu help`; may be repeated")
    given = parser.parse_args()
    qemu = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if platform.machine() != "x86_64" or qemu is None:
        print("processors: needs an x86-64 machine and qemu-user; install the package qemu-user", file=sys.stderr)
        return 1
    here = evaluated(given.folder, given.bundle, [])
    print("| processor | WER | words that differ |\n|---|--:|--:|")
    print(f"| this machine | {100 * here['wer']:.1f} % | of {here['words']} |", flush=True)
    for cpu in given.cpu or ["Haswell", "Nehalem"]:
        report = evaluated(given.folder, given.bundle, [qemu, "-cpu", cpu])
        print(f"| {cpu}, emulated | {100 * report['wer']:.1f} % | {differing(here, report)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
