"""What is known of one recogniser's words, carried over to those that another recogniser found in the same speech."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Times = tuple[tuple[float, float], ...]
MISSING = 1.0  # what a word costs that only one of the two has
OTHER = 1.2  # another word in the same place; less than two words too many
SIMILAR = 0.6  # a word that begins alike


def plain(word: str) -> str:
    """A word without capitals and marks, to compare.

    >>> plain("Don't,"), plain("U.S.")
    ("don't", 'us')
    """
    return "".join(char for char in word.lower() if char.isalnum() or char == "'")


def places(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """Where each gap between words is in the other text: [len(old) + 1] ascending, from 0 to len(new).

    Gap i is the one before old word i, which stays right after it; the words of least edit distance are put side by
    side.

    >>> places(["the", "men", "shook", "hands"], ["The", "two", "men", "shook", "hands."])
    [0, 2, 3, 4, 5]
    """
    a, b = [plain(word) for word in old], [plain(word) for word in new]
    cost = [[j * MISSING for j in range(len(b) + 1)]]
    for i, word in enumerate(a, 1):
        row = [i * MISSING]
        for j, other in enumerate(b, 1):
            row.append(min(cost[i - 1][j] + MISSING, row[j - 1] + MISSING, cost[i - 1][j - 1] + _differ(word, other)))
        cost.append(row)
    found = [len(b)] * (len(a) + 1)
    i, j = len(a), len(b)
    while i:
        if j and cost[i][j] == cost[i - 1][j - 1] + _differ(a[i - 1], b[j - 1]):
            i, j = i - 1, j - 1
        elif j and cost[i][j] == cost[i][j - 1] + MISSING:
            j -= 1
            continue
        else:
            i -= 1
        found[i] = j
    found[0] = 0
    return found


def edits(old: Sequence[str], new: Sequence[str]) -> int:
    """The least number of words to insert, leave out or replace, capitals and marks aside.

    >>> edits(["a", "nice", "cream"], ["An", "ice", "cream."])
    2
    """
    a, b = [plain(word) for word in old], [plain(word) for word in new]
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def carried_pauses(old: Sequence[str], new: Sequence[str], pauses: Sequence[int]) -> tuple[int, ...]:
    """The pauses before words of `old`, as indices of `new`; ascending, never the first word.

    >>> carried_pauses("new line hello".split(), "New line. Hello.".split(), [2])
    (2,)
    """
    at = places(old, new)
    return tuple(sorted({at[pause] for pause in pauses if 0 < at[pause] < len(new)}))


def carried_times(old: Sequence[str], new: Sequence[str], times: Times) -> Times:
    """When each word of `new` was said, by the times of the words of `old`; empty where there are none.

    Words side by side share their time; several for one, or those that only `new` has, divide what there is.

    >>> carried_times(["a", "b"], ["A", "b!"], ((0.0, 0.4), (0.5, 0.9)))
    ((0.0, 0.4), (0.5, 0.9))
    """
    if not times or not new:
        return ()
    at = places(old, new)
    found: list[tuple[float, float]] = []
    for index, (first, after) in enumerate(pairwise(at)):
        if after > first:
            found += _divided(times[index], after - first)
    return tuple(found)


def _divided(span: tuple[float, float], parts: int) -> list[tuple[float, float]]:
    begin, step = span[0], (span[1] - span[0]) / parts
    edges = [begin + step * part for part in range(parts)] + [span[1]]
    return list(pairwise(edges))


def _differ(word: str, other: str) -> float:
    if word == other:
        return 0.0
    return SIMILAR if word[:2] == other[:2] else OTHER
