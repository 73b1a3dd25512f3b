"""Gives the search's C library damaged files and senseless numbers for some seconds: `python tests/search_fuzz.py LIB`.

tests/test_search_fuzz.py runs it on a library built with the compiler's address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from kenlm_trie import MARKERS, Model

from device import native
from models.lexicon import Lexicon

SECONDS = 8.0
VALUES = (-math.inf, math.inf, math.nan, -1e30, 1e30, 0.0, -0.0, 5.0)


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


def searched(rng: np.random.Generator, language: native.Language) -> None:
    """A random lexicon searched in pieces and on copies."""
    tokens = int(rng.integers(1, 9))
    rows = [
        (str(rng.choice(["a", "b", "c", "x", "<s>", ""])), tuple(map(int, rng.integers(0, tokens, spelled))))
        for spelled in rng.integers(0, 5, int(rng.integers(1, 40)))
    ]
    lexicon = Lexicon.of(rows, rng.normal(-3, 2, len(rows)).tolist())
    words = native.Words(language, lexicon.text, lexicon.ends, lexicon.tokens, lexicon.scores, tokens,
                         int(rng.integers(1, 7)))  # fmt: skip
    boundary = int(rng.integers(0, tokens)) if rng.random() < 0.5 else native.NONE
    options = native.Options(int(rng.integers(1, 60)), int(rng.integers(1, 10)), int(rng.integers(0, tokens)), boundary,
                             float(rng.choice([0, 5, 1e9])), float(rng.normal(1, 1)), float(rng.normal()),
                             float(rng.choice([-0.1, 0.0])), -14.0)  # fmt: skip
    search = native.Search.of(words, tokens, options)
    for _ in range(6):
        search.accept(senseless(rng, int(rng.integers(0, 40)), tokens))
        found, stable, _ = search.best(closed=False)
        assert stable <= len(found) and all(row < len(rows) for row in found)
        copy = search.fork()
        if rng.random() < 0.3:
            search = copy
        copy.close()
        copy.best(closed=True)
    if rng.random() < 0.5:
        search.begin()


def main() -> int:
    native.LIBRARY = Path(sys.argv[1])
    seed, ends, opened = int(sys.argv[2]) if len(sys.argv) > 2 else 0, time.monotonic() + SECONDS, 0
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
                language = native.Language(str(broken))
                opened += 1
            except native.SearchError:
                language = native.Language(str(whole))
            language.score(rng.choices([*words, "?"], k=8))
            searched(np.random.default_rng(seed), language)
    print(f"{opened} damaged files were opened")
    return 0


if __name__ == "__main__":
    sys.exit(main())
