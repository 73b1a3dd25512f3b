"""Back-off n-gram models as arrays: linear interpolation and entropy pruning, which KenLM's tools leave out.

A model of order N holds, for each order n, rows of n word numbers with log10 probabilities and back-off weights, as in
an ARPA file. Words are numbered by one shared vocabulary, so that models of different text can be mixed.

    >>> mixed = interpolate([books, talk], [0.7, 0.3])    # doctest: +SKIP
    >>> write_arpa(prune(mixed, 1e-8), words, path)       # doctest: +SKIP
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.float64]

NEVER = -99.0  # log10 probability that stands for zero, as in SRILM's ARPA files


@dataclass(frozen=True)
class Table:
    """All n-grams of one order, sorted by key.

    keys: uint64 [rows], the word numbers packed most significant first, `bits` each.
    logp: float64 [rows], log10 of the probability of the last word after the others.
    backoff: float64 [rows], log10 of the back-off weight of the whole n-gram as a history; 0 at the highest order.
    """

    keys: Keys
    logp: Values
    backoff: Values


@dataclass(frozen=True)
class Model:
    """A back-off model; `tables[n - 1]` holds order n, and `tables[0]` has one row for each word number."""

    bits: int
    tables: tuple[Table, ...]

    @property
    def order(self) -> int:
        return len(self.tables)

    def find(self, n: int, keys: Keys) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Row of each key in the table of order n, and whether it is there."""
        table = self.tables[n - 1].keys
        if not len(table):
            return np.zeros(len(keys), np.intp), np.zeros(len(keys), np.bool_)
        rows = np.minimum(np.searchsorted(table, keys), len(table) - 1)
        return rows, table[rows] == keys

    def tail(self, n: int, keys: Keys) -> Keys:
        """Keys without their first word: [rows] of order n -> order n - 1."""
        return keys & np.uint64((1 << (self.bits * (n - 1))) - 1)

    def head(self, keys: Keys) -> Keys:
        """Keys without their last word."""
        return keys >> np.uint64(self.bits)

    def score(self, n: int, keys: Keys) -> Values:
        """log10 p(last word | first n - 1 words) with back-off, float64 [rows]."""
        rows, known = self.find(n, keys)
        table = self.tables[n - 1]
        if n == 1:
            return table.logp[rows]
        result = np.where(known, table.logp[rows] if len(table.logp) else 0.0, 0.0)
        missing = np.flatnonzero(~known)
        if len(missing):
            lower = self.score(n - 1, self.tail(n, keys[missing]))
            history, seen = self.find(n - 1, self.head(keys[missing]))
            backoff = self.tables[n - 2].backoff
            weights = np.where(seen, backoff[history], 0.0) if len(backoff) else 0.0
            result[missing] = lower + weights
        return result


def _sums(rows: npt.NDArray[np.intp], values: Values, size: int) -> Values:
    return np.bincount(rows, weights=values, minlength=size).astype(np.float64)


def normalise(model: Model) -> Model:
    """Recompute every back-off weight, so that each history's probabilities sum to one."""
    tables = [model.tables[0]]
    for n in range(2, model.order + 1):
        partial = Model(model.bits, (*tables, model.tables[n - 1]))
        table, below = model.tables[n - 1], tables[n - 2]
        rows, known = partial.find(n - 1, model.head(table.keys))
        if not known.all():
            raise ValueError(f"{int((~known).sum())} {n}-grams have no history of order {n - 1}")
        lower = partial.score(n - 1, model.tail(n, table.keys))
        seen = np.minimum(_sums(rows, 10.0**table.logp, len(below.keys)), 1 - 1e-6)
        seen_lower = np.minimum(_sums(rows, 10.0**lower, len(below.keys)), 1 - 1e-6)
        backoff = np.log10(1 - seen) - np.log10(1 - seen_lower)
        tables[n - 2] = Table(below.keys, below.logp, backoff)
        tables.append(Table(table.keys, table.logp, np.zeros(len(table.keys))))
    return Model(model.bits, tuple(tables))


def interpolate(models: Sequence[Model], weights: Sequence[float]) -> Model:
    """The linear mixture of models over one vocabulary, as one back-off model over the union of their n-grams.

    Each kept n-gram has exactly the mixture's probability; the rest is approximated by backing off (as SRILM's
    `ngram -mix-lm` does). The weights sum to one.
    """
    bits = models[0].bits
    tables: list[Table] = []
    for n in range(1, models[0].order + 1):
        keys = np.unique(np.concatenate([m.tables[n - 1].keys for m in models]))
        p = np.zeros(len(keys))
        for model, weight in zip(models, weights, strict=True):
            p += weight * 10.0 ** model.score(n, keys)
        tables.append(Table(keys, np.log10(np.maximum(p, 1e-99)), np.zeros(len(keys))))
    return normalise(Model(bits, tuple(tables)))


def prune(model: Model, threshold: float, histories: Sequence[Values]) -> Model:
    """Drop the n-grams whose loss raises the relative perplexity by less than `threshold` (Stolcke 1998).

    histories: for each order n from 1 to N - 1, the probability of each row of `tables[n - 1]` as a history. They are
    counted from the text, since Kneser-Ney's lower orders do not estimate them (Chelba et al. 2010).
    """
    tables = list(model.tables)
    for n in range(model.order, 1, -1):
        table, below = tables[n - 1], tables[n - 2]
        current = Model(model.bits, tuple(tables[:n]))
        rows, _ = current.find(n - 1, model.head(table.keys))
        p, lower = 10.0**table.logp, 10.0 ** current.score(n - 1, model.tail(n, table.keys))
        numerator = np.maximum(1 - _sums(rows, p, len(below.keys)), 1e-6)[rows]
        denominator = np.maximum(1 - _sums(rows, lower, len(below.keys)), 1e-6)[rows]
        old = np.log(numerator / denominator)
        new = np.log((numerator + p) / (denominator + lower))
        change = -(p * (np.log(lower) + new - np.log(p)) + numerator * (new - old))
        keep = np.expm1(histories[n - 2][rows] * change) >= threshold
        if n < model.order:  # a longer n-gram needs its prefix
            above = tables[n]
            needed = np.zeros(len(table.keys), np.bool_)
            prefix, known = current.find(n, model.head(above.keys))
            needed[prefix[known]] = True
            keep |= needed
        tables[n - 1] = Table(table.keys[keep], table.logp[keep], table.backoff[keep])
    return normalise(Model(model.bits, tuple(tables)))


def read_arpa(path: Path, numbers: dict[str, int], bits: int) -> Model:
    """Read an ARPA file as lmplz writes it; ValueError names a word that is not in `numbers`."""
    tables: list[Table] = []
    with path.open(encoding="utf-8") as file:
        counts: list[int] = []
        for line in file:
            if line.startswith("ngram "):
                counts.append(int(line.split("=")[1]))
            elif line.startswith("\\1-grams:"):
                break
        for n, count in enumerate(counts, 1):
            if n > 1:
                while not next(file).startswith(f"\\{n}-grams:"):
                    pass
            width = n + 1 + (n < len(counts))  # probability, words, back-off weight
            keys, logp, backoff = np.zeros(count, np.uint64), np.zeros(count), np.zeros(count)
            for begin in range(0, count, 1_000_000):
                end = min(begin + 1_000_000, count)
                fields = "".join(islice(file, end - begin)).split()
                logp[begin:end] = list(map(float, fields[0::width]))
                if n < len(counts):
                    backoff[begin:end] = list(map(float, fields[n + 1 :: width]))
                for k in range(1, n + 1):
                    try:
                        column = list(map(numbers.__getitem__, fields[k::width]))
                    except KeyError as error:
                        raise ValueError(f"{path}: {error} is not in the vocabulary") from None
                    keys[begin:end] = keys[begin:end] << np.uint64(bits) | np.array(column, np.uint64)
            rank = np.argsort(keys)
            tables.append(Table(keys[rank], np.maximum(logp[rank], NEVER), backoff[rank]))
    first = tables[0]
    logp, backoff = np.full(len(numbers), NEVER), np.zeros(len(numbers))
    logp[first.keys], backoff[first.keys] = first.logp, first.backoff
    tables[0] = Table(np.arange(len(numbers), dtype=np.uint64), logp, backoff)
    return Model(bits, tuple(tables))


def write_arpa(model: Model, words: Sequence[str], path: Path) -> None:
    """Write an ARPA file; word number i is words[i]."""
    mask = (1 << model.bits) - 1
    with path.open("w", encoding="utf-8") as file:
        file.write("\\data\\\n")
        for n, table in enumerate(model.tables, 1):
            file.write(f"ngram {n}={len(table.keys)}\n")
        for n, table in enumerate(model.tables, 1):
            file.write(f"\n\\{n}-grams:\n")
            shifts = [model.bits * k for k in range(n - 1, -1, -1)]
            rows = zip(table.keys.tolist(), table.logp.tolist(), table.backoff.tolist(), strict=True)
            for key, logp, backoff in rows:
                text = " ".join(words[key >> s & mask] for s in shifts)
                tail = f"\t{backoff:.5f}" if n < model.order else ""
                file.write(f"{min(logp, 0.0):.5f}\t{text}{tail}\n")
        file.write("\n\\end\\\n")
