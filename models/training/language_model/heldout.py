"""Which text trains the language model, which is held out, and which words the model knows."""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from models.training.language_model import corpus
from models.training.language_model.text import spoken

GROUPS = ("books", "prose", "speeches", "talk")  # each has a model of its own; sources.toml says which is which
HELD_OUT = 50  # one piece in so many tunes the mixture, and one tests it
OVERLAP = 8  # words in a row that held-out and training text may not share


def pieces(path: Path, files: int) -> Iterator[tuple[int, str]]:
    """Yield (piece, stretch): a piece is a file where a source has many, or else 500 lines in a row."""
    name, index, row = "", 0, 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("##\t"):
                name = line
                index = zlib.crc32(name.encode())
                continue
            row += 1
            yield (index if files >= HELD_OUT else zlib.crc32(f"{path.stem}{row // 500}".encode())), line.rstrip("\n")


def _split(job: tuple[str, Path]) -> dict[str, list[str]]:
    """One source's stretches by use: train, tune, test."""
    name, work = job
    path = work / f"{name}.txt"
    with path.open(encoding="utf-8") as lines:
        files = sum(line.startswith("##\t") for line in lines)
    split: dict[str, list[str]] = {"train": [], "tune": [], "test": []}
    for piece, stretch in pieces(path, files):
        share = piece % HELD_OUT
        split["tune" if share == 1 else "test" if share == 2 else "train"].append(stretch)
    return split


def overlaps(stretch: str, unseen: set[int]) -> bool:
    """Whether a stretch shares OVERLAP words in a row with the text that `unseen` was made of."""
    words = stretch.split()
    return any(hash(tuple(words[i : i + OVERLAP])) in unseen for i in range(len(words) - OVERLAP + 1))


def runs(stretches: Iterable[str]) -> set[int]:
    """The runs of OVERLAP words in some text, as hashes of this process."""
    found: set[int] = set()
    for stretch in stretches:
        words = stretch.split()
        found.update(hash(tuple(words[i : i + OVERLAP])) for i in range(len(words) - OVERLAP + 1))
    return found


def split_text(work: Path, unseen_files: Sequence[Path]) -> None:
    """Write WORK/GROUP.{train,tune,test}.txt: no repeated stretch, none that overlaps held-out or unseen text."""
    sources = corpus.load_sources()
    held: dict[str, dict[str, list[str]]] = {g: {"tune": [], "test": []} for g in GROUPS}
    train: dict[str, list[list[str]]] = {g: [] for g in GROUPS}
    for source in sources:
        split = _split((source.name, work))
        for use in ("tune", "test"):
            held[source.group][use].extend(split[use])
        train[source.group].append(split["train"])
    unseen = runs(s for g in GROUPS for use in held[g].values() for s in use)
    for path in unseen_files:
        unseen |= runs(s for line in path.read_text(encoding="utf-8").splitlines() for s in spoken(line, join=99))
    for group in GROUPS:
        kept = dropped = words = 0
        seen: set[int] = set()
        with (work / f"{group}.train.txt").open("w", encoding="utf-8") as out:
            for stretch in (s for part in train[group] for s in part):
                key = hash(stretch)
                if stretch.count(" ") >= 4 and (key in seen or overlaps(stretch, unseen)):
                    dropped += 1
                    continue
                seen.add(key)
                kept += 1
                words += stretch.count(" ") + 1
                out.write(stretch + "\n")
        train[group].clear()
        for use, stretches in held[group].items():
            (work / f"{group}.{use}.txt").write_text("\n".join(stretches) + "\n", encoding="utf-8")
        print(f"{group:10} {words:12,} words in {kept:,} stretches, {dropped:,} dropped", flush=True)


def choose_vocabulary(work: Path, size: int) -> list[str]:
    """The `size` words of the highest mean frequency over the groups and over PyPI wordfreq's list (0 where unknown).

    A word that wordfreq does not know must occur 30 times, so that misprints and names of one book stay out.
    """
    import wordfreq

    score: defaultdict[str, float] = defaultdict(float)
    total: Counter[str] = Counter()
    for group in GROUPS:
        counts: Counter[str] = Counter()
        with (work / f"{group}.train.txt").open(encoding="utf-8") as lines:
            for line in lines:
                counts.update(line.split())
        scale = 1 / max(sum(counts.values()), 1)
        for word, count in counts.items():
            score[word] += count * scale
        total.update(counts)
    for word, frequency in wordfreq.get_frequency_dict("en").items():
        if re.fullmatch(r"[a-z]+('[a-z]+)*'?", word):
            score[word] += 2 * frequency
            total[word] += 30
    known = [w for w in sorted(score, key=lambda w: -score[w]) if total[w] >= 30 and (len(w) > 1 or w.isalpha())]
    return known[:size]
