"""From text to a packed n-gram model: smooth each group with KenLM, mix, prune, pack.

KenLM's lmplz (modified Kneser-Ney; Heafield et al. 2013) and build_binary come from PyPI's source package; the linear
mixture of the groups and entropy pruning, which KenLM has not, are models/training/language_model/ngram.py.
"""

import json
import subprocess
import tarfile
from collections.abc import Sequence
from itertools import islice
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import files, python
from models.archives import unpack
from models.training.language_model import ngram
from models.training.language_model.heldout import GROUPS

KENLM = "kenlm==0.3.0"
ORDER = 3
BITS = 21  # of a word number; three fit into 64
CUTS = {"books": "1", "speeches": "1"}  # large groups leave out trigrams that occur once
TARGET = {"books": 0.4, "prose": 0.35, "talk": 0.25}  # what the mixture is tuned for
COUNTED = 20_000_000  # words of a group from which histories are counted
MARKERS = ("<unk>", "<s>", "</s>")


def kenlm_tools(work: Path) -> Path:
    """The folder of lmplz and build_binary, built the first time from PyPI's source (needs cmake, boost, zlib)."""
    tools = work / "kenlm" / "build" / "bin"
    if not (tools / "build_binary").exists():
        source = work / "kenlm"
        source.mkdir(parents=True, exist_ok=True)
        pip = python.module("pip", "download", "--no-deps", "--no-binary", ":all:", "-d", source, KENLM)
        subprocess.run(pip, check=True)
        with tarfile.open(next(source.glob("kenlm-*.tar.gz"))) as archive:
            unpack(archive, source)
        unpacked = next(p for p in source.glob("kenlm-*") if p.is_dir())
        cmake = ["cmake", "-S", str(unpacked), "-B", str(source / "build"), "-DCMAKE_BUILD_TYPE=Release"]
        subprocess.run([*cmake, "-DBUILD_PYTHON=OFF", "-DCMAKE_POLICY_VERSION_MINIMUM=3.5"], check=True)
        subprocess.run(
            ["cmake", "--build", str(source / "build"), "-j2", "-t", "lmplz", "build_binary", "query"], check=True
        )
    return tools


def encode(path: Path, numbers: dict[str, int], every: int = 1) -> npt.NDArray[np.int32]:
    """A text as word numbers, each line (one in `every`) between <s> and </s>. int32 [words].

    Words outside the vocabulary are <unk>.
    """
    unknown, start, end = numbers["<unk>"], numbers["<s>"], numbers["</s>"]
    out: list[npt.NDArray[np.int32]] = []
    block: list[int] = []
    with path.open(encoding="utf-8") as lines:
        for line in islice(lines, 0, None, every):
            block.append(start)
            block.extend([numbers.get(w, unknown) for w in line.split()])
            block.append(end)
            if len(block) > 5_000_000:
                out.append(np.array(block, np.int32))
                block.clear()
    return np.concatenate([*out, np.array(block, np.int32)])


def windows(ids: npt.NDArray[np.int32], n: int, bits: int, start: int) -> ngram.Keys:
    """Keys of all n-grams of a text, but for those that reach across the start of a sentence."""
    keys = np.zeros(len(ids) - n + 1, np.uint64)
    crosses = np.zeros(len(keys), np.bool_)
    for k in range(n):
        column = ids[k : len(ids) - n + 1 + k]
        keys = keys << np.uint64(bits) | column.astype(np.uint64)
        if k:
            crosses |= column == start
    return keys[~crosses]


def token_logp(model: ngram.Model, ids: npt.NDArray[np.int32], start: int, unknown: int) -> ngram.Values:
    """log10 probability of every known word and </s> of a text in its full context, float64 [words]."""
    parts = []
    for n in range(2, model.order + 1):
        keys = windows(ids, n, model.bits, start)
        if n < model.order:  # only at the beginning of a sentence
            keys = keys[(keys >> np.uint64(model.bits * (n - 1))) == start]
        known = (keys & np.uint64((1 << model.bits) - 1)) != unknown
        parts.append(np.where(known, model.score(n, keys), np.nan))
    return np.concatenate(parts)


def mixture_weights(models: Sequence[ngram.Model], work: Path, numbers: dict[str, int]) -> list[float]:
    """Expectation maximisation of the mixture on the groups' tuning text, each group weighing as in TARGET."""
    start, unknown = numbers["<s>"], numbers["<unk>"]
    columns, shares = [], []
    for group, share in TARGET.items():
        if share:
            ids = encode(work / f"{group}.tune.txt", numbers)[:400_000]
            p = np.stack([10.0 ** token_logp(m, ids, start, unknown) for m in models])
            p = p[:, ~np.isnan(p).any(axis=0)]
            columns.append(p)
            shares.append(np.full(p.shape[1], share / p.shape[1]))
    p, share_of = np.concatenate(columns, axis=1), np.concatenate(shares)
    weights = np.full(len(models), 1 / len(models))
    for _ in range(50):
        joint = weights[:, None] * p + 1e-99
        weights = (joint / joint.sum(axis=0) * share_of).sum(axis=1)
    return [float(w) for w in weights / weights.sum()]


def unigrams(words: Sequence[str], bits: int, order: int) -> ngram.Model:
    """wordfreq's frequencies as a model: a floor for modern words that the old books do not know."""
    import wordfreq

    p = np.array([wordfreq.word_frequency(w, "en", minimum=1e-9) if w.isascii() else 0.0 for w in words])
    p[:3] = 1e-9
    with np.errstate(divide="ignore"):
        logp = np.log10(p / p.sum())
    keys = np.arange(len(words), dtype=np.uint64)
    empty = ngram.Table(np.zeros(0, np.uint64), np.zeros(0), np.zeros(0))
    return ngram.Model(bits, (ngram.Table(keys, logp, np.zeros(len(words))), *[empty] * (order - 1)))


def smooth(work: Path, group: str, tools: Path) -> Path:
    """Count and smooth WORK/GROUP.train.txt over WORK/vocabulary.txt into WORK/GROUP.arpa, unless it is there."""
    arpa = work / f"{group}.arpa"
    if not arpa.exists():
        limit = ["--limit_vocab_file", str(work / "vocabulary.txt"), "--prune", "0", "0", CUTS.get(group, "0")]
        lmplz = [str(tools / "lmplz"), "-o", str(ORDER), "-S", "5G", "-T", str(work / "sort"), "--discount_fallback"]
        with files.replacing(arpa) as part, (work / f"{group}.train.txt").open("rb") as text:
            subprocess.run([*lmplz, *limit, "--arpa", str(part)], stdin=text, check=True)
    return arpa


Counts = list[tuple[ngram.Keys, npt.NDArray[np.intp]]]


def _load(job: tuple[Path, str, dict[str, int]]) -> tuple[ngram.Model, Counts]:
    """A group's model, and its n-grams of all orders below the highest with their counts."""
    work, group, numbers = job
    text = work / f"{group}.train.txt"
    model = ngram.read_arpa(work / f"{group}.arpa", numbers, BITS)
    ids = encode(text, numbers, every=1 + text.stat().st_size // (6 * COUNTED))
    counts = [np.unique(windows(ids, n, BITS, numbers["<s>"]), return_counts=True) for n in range(1, ORDER)]
    print(f"{group}: {[len(t.keys) for t in model.tables]}", flush=True)
    return model, counts


def mix(work: Path) -> None:
    """Write WORK/mixed.npz: the mixture of the groups' models, and how often each history occurs."""
    tools = kenlm_tools(work)
    words = [*MARKERS, *(work / "vocabulary.txt").read_text(encoding="utf-8").split()]
    numbers = {w: i for i, w in enumerate(words)}
    for group in GROUPS:
        smooth(work, group, tools)
    with Pool(len(GROUPS)) as pool:
        loaded = pool.map(_load, [(work, group, numbers) for group in GROUPS])
    models, counted = [model for model, _ in loaded], [counts for _, counts in loaded]
    models.append(unigrams(words, BITS, ORDER))
    weights = mixture_weights(models, work, numbers)
    mixture = dict(zip([*GROUPS, "wordfreq"], weights, strict=True))
    print("mixture:", {name: round(w, 3) for name, w in mixture.items()}, flush=True)
    mixed = ngram.interpolate(models, weights)
    arrays: dict[str, Any] = {}
    for n, table in enumerate(mixed.tables, 1):
        arrays |= {f"keys{n}": table.keys, f"logp{n}": table.logp, f"backoff{n}": table.backoff}
        if n < ORDER:
            history = np.zeros(len(table.keys))
            for weight, tables in zip(weights, counted, strict=False):
                keys, counts = tables[n - 1]
                rows, known = mixed.find(n, keys)
                history[rows[known]] += weight * counts[known] / counts.sum()
            arrays[f"history{n}"] = history
    np.savez(work / "mixed.npz", **arrays)
    facts = {"mixture": mixture, "before_pruning": [len(t.keys) for t in mixed.tables]}
    (work / "mixed.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def pack(work: Path, out: Path, threshold: float) -> list[int]:
    """Prune WORK/mixed.npz, write WORK/language.arpa and OUT, a KenLM trie; returns how many n-grams each order has."""
    words = [*MARKERS, *(work / "vocabulary.txt").read_text(encoding="utf-8").split()]
    with np.load(work / "mixed.npz") as arrays:
        columns = ("keys", "logp", "backoff")
        tables = [ngram.Table(*(arrays[f"{c}{n}"] for c in columns)) for n in range(1, ORDER + 1)]
        histories = [arrays[f"history{n}"] for n in range(1, ORDER)]
    pruned = ngram.prune(ngram.Model(BITS, tuple(tables)), threshold, histories)
    ngram.write_arpa(pruned, words, work / "language.arpa")
    with files.replacing(out) as part:
        trie = ["-q", "8", "-b", "8", "-a", "22", "trie", str(work / "language.arpa"), str(part)]
        subprocess.run([str(kenlm_tools(work) / "build_binary"), *trie], check=True)
    return [len(t.keys) for t in pruned.tables]
