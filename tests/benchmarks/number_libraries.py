"""What maintained libraries make of spoken numbers, beside this repository's rules.

In a scratch environment: ``pip install text2num wetext``, then ``python tests/benchmarks/number_libraries.py`` in the
repository's root. A library that is not installed is left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from device import numbers
from device.doctables import EXAMPLES

MORE = (
    "forty and five", "one hundred one hundred", "thousands of people", "in a second", "a couple million",
    "three point oh five", "from ten to eleven thirty", "twenty firsts",
)  # fmt: skip


def writers() -> dict[str, Callable[[str], str]]:
    found: dict[str, Callable[[str], str]] = {"here": lambda said: " ".join(numbers.write(said.split()))}
    try:
        text2num = importlib.import_module("text_to_num")
        found["text2num"] = lambda said: str(text2num.alpha2digit(said, "en"))
    except ImportError:
        print("text2num: not installed")
    try:
        normalizer = importlib.import_module("wetext").Normalizer(lang="en", operator="itn")
        found["wetext"] = lambda said: str(normalizer.normalize(said))
    except ImportError:
        print("wetext: not installed")
    return found


if __name__ == "__main__":
    chosen = writers()
    print(f"{'said':44}" + "".join(f"{name:26}" for name in chosen))
    for said in (*EXAMPLES, *MORE):
        print(f"{said:44}" + "".join(f"{write(said):26}" for write in chosen.values()))
