"""How often maintained libraries write spoken numbers as a person would, beside this repository's rules.

In a scratch environment: ``pip install text2num wetext``, then ``python tests/benchmarks/number_libraries.py`` in the
repository's root; ``--show`` prints every sentence that is not right. A library that is not installed is left out.
Commands and punctuation are this repository's own in every column; only the numbers are written by the library.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from device.text import formatter, itn
from device.text.edits import apply

DATA = Path("tests/data")
TABLES = ("spoken_forms.tsv", "everyday.tsv")

Write = Callable[[str], str]


def here() -> Write:
    return lambda said: " ".join(itn.write(said.split()))


def text2num() -> Write:
    library = importlib.import_module("text_to_num")
    return lambda said: str(library.alpha2digit(said, "en"))


def wetext() -> Write:
    normalizer = importlib.import_module("wetext").Normalizer(lang="en", operator="itn")
    return lambda said: str(normalizer.normalize(said))


def sentences(file: Path) -> list[tuple[str, list[str]]]:
    """What is said, and the forms that are right; the second column is empty where the words are to stay."""
    rows = [line.partition("\t") for line in file.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")]
    return [(said, (forms or said[:1].upper() + said[1:]).split(" | ")) for said, _, forms in rows]


def typed(said: str, write: Write) -> str:
    """What would be typed if `write` wrote the numbers."""
    writer = formatter.TextFormatter(formatter.Rules(style=None))
    writer.begin()
    return apply("", writer.segment(write(said)))


def main(show: bool) -> None:
    for library in (here, text2num, wetext):
        began = time.perf_counter()
        try:
            write = library()
            write("one")
        except ImportError:
            print(f"{library.__name__}: not installed")
            continue
        ready = time.perf_counter() - began
        for table in TABLES:
            wanted = sentences(DATA / table)
            wrong = [(said, typed(said, write), forms) for said, forms in wanted if typed(said, write) not in forms]
            right = f"{len(wanted) - len(wrong)} of {len(wanted)}"
            print(f"{library.__name__:10} {table:18} {right} right, ready after {ready:.2f} s")
            for said, got, forms in wrong if show else ():
                print(f"    {said} -> {got}  (not {' | '.join(forms)})")


if __name__ == "__main__":
    main("--show" in sys.argv[1:])
