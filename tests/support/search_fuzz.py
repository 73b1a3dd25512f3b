"""Gives the search's C library damaged files, arrays of other shapes and senseless numbers, for some seconds.

    SEARCH_FUZZ_S=60 python tests/support/search_fuzz.py LIBRARY [SEED [LANGUAGE_MODEL ...]]

tests/device/asr/test_search_fuzz.py runs it on a library built with the compiler's address and undefined-behaviour
sanitizers.
"""

from __future__ import annotations

import math
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from kenlm_trie import MARKERS, Model

from device.asr import beam_search
from models.errors import UserError
from models.lexicon import Lexicon

T = TypeVar("T")

SECONDS = float(os.environ.get("SEARCH_FUZZ_S", 8))
VALUES = (-math.inf, math.inf, math.nan, -3e38, -1e30, 1e30, 3e38, 0.0, -0.0, 5.0)
COUNTS = ("beam", "beam_tokens", "blank", "boundary")


def damaged(rng: random.Random, whole: bytes) -> bytes:
    """The file with some bytes changed, most of them where it says how large things are, or cut off."""
    content = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(88, rng.choice([150, len(content)]))
        content[at] = rng.choice([0, 1, 2, 127, 255, rng.randrange(256)])
    return bytes(content[: rng.choice([len(content), len(content), rng.randrange(len(content))])])


def senseless(rng: np.random.Generator, frames: int, tokens: int) -> np.ndarray:
    """Log posteriors of which some are none."""
    noise = rng.normal(-4, 4, (frames, tokens)).astype(np.float32)
    spoilt = rng.random(noise.shape) < 0.05
    noise[spoilt] = rng.choice(np.array(VALUES, np.float32), int(spoilt.sum()))
    return noise


def misshapen(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """An array with another rank, size, element type, byte order or stride, or with other numbers in it."""
    changes: tuple[Callable[[], np.ndarray], ...] = (
        lambda: array,
        lambda: array.astype(rng.choice(["f4", "f8", "i1", "u2", "i4", "u4", "i8", "u8", ">i4", ">u2", ">f4", "c8"])),
        lambda: array.reshape(-1, 1),
        lambda: array.reshape(1, -1),
        lambda: np.zeros((len(array), 0), array.dtype),
        lambda: np.zeros((0, len(array)), array.dtype),
        lambda: np.array(array[0] if len(array) else 0, array.dtype),
        lambda: array[: int(rng.integers(0, len(array) + 1))],
        lambda: np.append(array, array).astype(array.dtype),
        lambda: np.repeat(array, 2)[::2],
        lambda: array[::-1],
        lambda: rng.integers(-(2**31), 2**31, len(array)).astype(array.dtype),
        lambda: np.where(rng.random(len(array)) < 0.2, np.nan, array) if array.dtype.kind == "f" else array + 1,
    )
    return changes[int(rng.integers(0, len(changes)))]()


def told(work: Callable[..., T], *arguments: object) -> T | None:
    """What `work` returns; None where it refuses, in one line."""
    try:
        return work(*arguments)
    except UserError as error:
        assert "\n" not in str(error), error
        return None


def searched(rng: np.random.Generator, language: beam_search.Language, scratch: Path, counts: Counter[str]) -> None:
    """A random lexicon, sometimes not one, searched in pieces and on copies, sometimes with options that are none."""
    tokens = int(rng.integers(1, 9))
    rows = [
        (str(rng.choice(["a", "b", "c", "x", "<s>", ""])), tuple(map(int, rng.integers(0, tokens, spelled))))
        for spelled in rng.integers(0, 5, int(rng.integers(1, 40)))
    ]
    whole = Lexicon.of(rows, rng.normal(-3, 2, len(rows)).tolist())
    lexicon = whole
    if rng.random() < 0.5:
        part = str(rng.choice(["ends", "tokens", "scores"]))
        lexicon = replace(whole, **{part: misshapen(rng, getattr(whole, part))})
    lexicon.save(scratch)
    read = told(Lexicon.load, scratch)
    arrays = (lexicon.text, lexicon.ends, lexicon.tokens, lexicon.scores)
    words = told(beam_search.WordGraph, language, *arrays, tokens, int(rng.integers(1, 7)))
    assert words is None or read is not None, "what is refused in a file is refused by the search"
    counts["lexicons refused" if words is None else "lexicons searched"] += 1
    if words is None:
        words = beam_search.WordGraph(language, whole.text, whole.ends, whole.tokens, whole.scores, tokens, 6)
    boundary = int(rng.integers(0, tokens)) if rng.random() < 0.5 else beam_search.NONE
    options = beam_search.Options(
        int(rng.integers(1, 60)),
        int(rng.integers(1, 10)),
        int(rng.integers(0, tokens)),
        boundary,
        float(rng.choice([0, 5, 1e9])),
        float(rng.normal(1, 1)),
        float(rng.normal()),
        float(rng.choice([-0.1, 0.0])),
        -14.0,
    )
    if rng.random() < 0.3:
        name = str(rng.choice([field[0] for field in beam_search.Options._fields_]))
        setattr(options, name, type(getattr(options, name))(rng.choice([0, 9, 1e4] if name in COUNTS else VALUES)))
    search = told(beam_search.Search.of, words, tokens, options)
    if search is None:
        counts["options refused"] += 1
        return
    for _ in range(6):
        search.advance(senseless(rng, int(rng.integers(0, 40)), tokens))  # keeps a hypothesis, whatever it is given
        found, stable, _ = search.best(False)
        assert stable <= len(found) and all(row < len(rows) for row in found)
        copy = search.fork()
        if rng.random() < 0.3:
            search = copy
        copy.close()
        copy.best(True)
    if rng.random() < 0.5:
        search.begin()


def main() -> int:
    beam_search.LIBRARY = Path(sys.argv[1])
    seed, ends = int(sys.argv[2]) if len(sys.argv) > 2 else 0, time.monotonic() + SECONDS
    counts = Counter({"damaged files opened": 0})
    words = [*MARKERS, "a", "b", "c"]
    bigrams = {(x, y): (-1.0, -0.5) for x in words[3:] for y in words[3:]}
    trigrams = {(x, y, z): (-0.5, 0.0) for x, y in bigrams for z in "ab"}
    model = Model(({(w,): (-1.0, -0.5) for w in words}, bigrams, trigrams))
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = model.trie(Path(folder) / "lm.bin"), Path(folder) / "broken.bin"
        files = [whole.read_bytes(), *(Path(extra).read_bytes() for extra in sys.argv[3:])]
        while time.monotonic() < ends:
            seed += 1
            rng = random.Random(seed)
            broken.write_bytes(damaged(rng, rng.choice(files)))
            try:
                language = beam_search.Language(str(broken))
                counts["damaged files opened"] += 1
            except beam_search.SearchError:
                language = beam_search.Language(str(whole))
            language.score(rng.choices([*words, "?"], k=8))
            searched(np.random.default_rng(seed), language, Path(folder) / "lexicon.npz", counts)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
