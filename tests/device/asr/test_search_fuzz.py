"""The search's C library under the compiler's sanitizers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from device.asr import beam_search

ROOT = Path(__file__).parents[3]
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def compile_to(library: Path, *more: str) -> None:
    """What device/asr/beam_search.py says compiles the library, with other names and options."""
    command = next(line.strip() for line in (beam_search.__doc__ or "").splitlines() if line.strip().startswith("cc "))
    sources = [str(path) for path in sorted((ROOT / "device" / "asr" / "csrc").glob("*.c"))]
    words = [str(library) if word == "device/asr/_search.abi3.so" else word for word in command.split()]
    at = words.index("device/asr/csrc/*.c")
    subprocess.run([*words[:at], *more, *sources, *words[at + 1 :]], cwd=ROOT, check=True)


def test_the_command_in_the_docstring_compiles_without_a_warning(tmp_path: Path) -> None:
    compile_to(tmp_path / "search.so", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    assert beam_search.load(tmp_path / "search.so").language_open


def test_damaged_files_and_senseless_numbers_do_no_harm(tmp_path: Path) -> None:
    found = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()).is_absolute(), "the compiler has no address sanitizer; gcc's comes with it"
    compile_to(tmp_path / "search.so", *SANITIZERS)
    environment = {
        **os.environ,
        "LD_PRELOAD": found.strip(),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    run = subprocess.run(
        [sys.executable, "tests/support/search_fuzz.py", str(tmp_path / "search.so")],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    counts = [int(count) for count in re.findall(r"\d+", run.stdout)]
    assert len(counts) == 4 and min(counts) > 20, f"not all was tried often enough: {run.stdout}"
