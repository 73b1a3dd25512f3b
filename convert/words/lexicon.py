"""The lexicon stage: every word of the language model, spelled in the acoustic model's tokens.

The source is a gzipped table, one row for each pronunciation, commonest words first (the search engine keeps only the
first few words that sound alike):

    word<TAB>log10 unigram probability<TAB>tokens with blanks between

A model with phone tokens takes its spellings from the table (models/base/lexicon.tsv.gz); one with letters or word
pieces takes only the words and spells them itself.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

from models import files
from models.errors import UserError
from models.lexicon import Lexicon

LARGEST = 8 << 20  # bytes, of the 25 MB for lexicon and language model together
MARK = "▁"  # SentencePiece: the beginning of a word

Row = tuple[str, float, tuple[str, ...]]


class LexiconError(UserError):
    """The lexicon does not fit the model; the message names the first word or token and the next step."""


def read(source: Path) -> list[Row]:
    """The rows of a table: word, score, tokens. Raises LexiconError naming the line."""
    rows: list[Row] = []
    try:
        text = gzip.decompress(source.read_bytes()).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise LexiconError(
            f"{source}: not a lexicon ({error}); make it with models/training/language_model/__main__.py"
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        try:
            word, score, tokens = line.split("\t")
            rows.append((word, float(score), tuple(tokens.split(" "))))
        except ValueError:
            raise LexiconError(f"{source}:{number}: not word, score and tokens: {line[:60]!r}") from None
    if not rows:
        raise LexiconError(f"{source}: no words; make it with models/training/language_model/__main__.py")
    return rows


def speller(tokens: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A function that spells words in letters or word pieces, longest piece first; it raises LexiconError.

    Pieces may mark a word's beginning as SentencePiece does. An apostrophe is left out where no token has one.

    >>> speller(["a", "b", "ab"])("abba")
    ('ab', 'b', 'a')
    >>> speller(["▁he", "l", "lo"])("hello")
    ('▁he', 'l', 'lo')
    """
    pieces = frozenset(t for t in tokens if t)
    longest = max(map(len, pieces), default=0)
    marked = any(t.startswith(MARK) for t in pieces)
    upper = not any(t.islower() for t in pieces)
    apostrophe = any("'" in t for t in pieces)

    def spell(word: str) -> tuple[str, ...]:
        rest = word.upper() if upper else word
        rest = (MARK if marked else "") + (rest if apostrophe else rest.replace("'", ""))
        found: list[str] = []
        while rest:
            fit = next((rest[:n] for n in range(min(longest, len(rest)), 0, -1) if rest[:n] in pieces), None)
            if fit is None:
                raise LexiconError(f"{word!r}: no token spells {rest[0]!r}; give a lexicon for this model's tokens")
            found.append(fit)
            rest = rest[len(fit) :]
        return tuple(found)

    return spell


def build(source: Path, tokens: Sequence[str], out: Path, *, spell: bool = False) -> Path:
    """Write the bundle's lexicon (models/lexicon.py) to `out` and return it.

    source: the table. tokens: the acoustic model's, in the order of its posteriors. spell: for letters and word pieces,
    spell the table's words instead of taking its spellings. Raises LexiconError.
    """
    rows = read(source)
    if spell:
        spelled = speller(tokens)
        first = {word: score for word, score, _ in reversed(rows)}
        rows = [(word, first[word], spelled(word)) for word in dict.fromkeys(word for word, _, _ in rows)]
    index = {token: i for i, token in enumerate(tokens)}
    for word, _, spelling in rows:
        if unknown := [t for t in spelling if t not in index]:
            raise LexiconError(f"{word!r}: the acoustic model has no token {unknown[0]!r}; take a lexicon made for it")
    lexicon = Lexicon.of([(w, [index[t] for t in s]) for w, _, s in rows], [score for _, score, _ in rows])
    with files.replacing(out) as part:
        lexicon.save(part)
        if (size := part.stat().st_size) > LARGEST:
            raise LexiconError(f"{source}: {size:,} bytes packed, above {LARGEST:,}; take fewer words")
    return out
