"""The recipe of the English dictation language model: licensed text in, models/base/language.bin and its lexicon out.

    python -m models.training.language_model text    --work WORK --mirror MIRROR   # sources.toml to spoken words
    python -m models.training.language_model train   --work WORK                   # hold out, smooth, mix, prune, pack
    python -m models.training.language_model lexicon --work WORK --hama ASSETS     # pronunciations of its words
    python -m models.training.language_model report  --work WORK                   # perplexity, OOV, sizes; JSON and
    plot

No transcript of speech that the product is judged on takes part. LJSpeech's books and Common Voice's sentences are not
among the sources, and `train --unseen FILE` (one text a line, repeatable) drops every training stretch that shares
eight words in a row with such text where it is at hand.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from models.training.language_model import corpus, heldout, lexicon, mixture
from models.training.language_model.text import spoken

BASE = Path(__file__).resolve().parents[2] / "base"
DICTATED = 100  # one paragraph in so many is written with its punctuation spoken
WORDS = 80_000
THRESHOLD = 2.7e-8  # relative perplexity that an n-gram must be worth to be kept


def _normalise(job: tuple[corpus.Source, Path, Path]) -> tuple[str, str, int]:
    source, mirror, work = job
    digest, words, count = hashlib.sha256(), 0, 0
    with (work / f"{source.name}.txt").open("w", encoding="utf-8") as out:
        for path, content in corpus.read_files(source, mirror):
            digest.update(content)
            out.write(f"##\t{path}\n")
            for paragraph in corpus.paragraphs(source.format, content):
                count += 1
                dictated = count % DICTATED == 7
                for stretch in spoken(paragraph, join=1 + (count % 3 == 2), punctuation=dictated):
                    words += stretch.count(" ") + 1
                    out.write(stretch + "\n")
    return source.name, digest.hexdigest(), words


def make_text(mirror: Path, work: Path, record: bool) -> None:
    """Normalise every source into WORK/NAME.txt; check its SHA-256, or with `record` write it into sources.toml."""
    sources = {source.name: source for source in corpus.load_sources()}
    work.mkdir(parents=True, exist_ok=True)
    text = corpus.SOURCES.read_text(encoding="utf-8")
    with Pool(os.cpu_count()) as pool:
        for name, sha256, words in pool.imap_unordered(_normalise, [(s, mirror, work) for s in sources.values()]):
            print(f"{name:26} {words:12,} words", flush=True)
            if not record and sources[name].sha256 != sha256:
                raise corpus.CorpusError(f"{name}: not the files of sources.toml; fetch {sources[name].commit}")
            text = re.sub(rf'(?<=name = "{name}"\n)sha256 = .*\nwords = .*\n', "", text)
            text = text.replace(f'name = "{name}"\n', f'name = "{name}"\nsha256 = "{sha256}"\nwords = {words}\n')
    if record:
        corpus.SOURCES.write_text(text, encoding="utf-8")


def train(work: Path, unseen: list[Path], threshold: float) -> None:
    """From WORK/NAME.txt to models/base/language.bin."""
    heldout.split_text(work, unseen)
    words = heldout.choose_vocabulary(work, WORDS)
    (work / "vocabulary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    mixture.mix(work)
    print(mixture.pack(work, BASE / "language.bin", threshold), "n-grams")


def perplexity(query: Path, model: Path, text: Path) -> dict[str, float]:
    """KenLM's own count over a text: perplexity without unknown words, and the share of unknown words."""
    with text.open("rb") as stream:
        done = subprocess.run([str(query), "-v", "summary", str(model)], stdin=stream, capture_output=True, check=True)
    lines = dict(line.split("\t") for line in done.stdout.decode().splitlines() if line.count("\t") == 1)
    found = {key.rstrip(":"): float(value) for key, value in lines.items()}
    return {
        "perplexity": round(found["Perplexity excluding OOVs"], 1),
        "oov": round(found["OOVs"] / found["Tokens"], 5),
        "words": int(found["Tokens"]),
    }


def report(work: Path, texts: dict[str, Path]) -> dict[str, Any]:
    """Measure the packed model on held-out text; write models/base/language.json and language.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    query, model = mixture.kenlm_tools(work) / "query", BASE / "language.bin"
    spelled = BASE / "lexicon.tsv.gz"
    measured = {name: perplexity(query, model, path) for name, path in texts.items()}
    head = (work / "language.arpa").open(encoding="utf-8").readlines(400)
    facts = {
        "ngrams": [int(line.split("=")[1]) for line in head if line.startswith("ngram ")],
        "bytes": {path.name: path.stat().st_size for path in (model, spelled)},
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (model, spelled)},
        "training_words": {g: sum(s.words for s in corpus.load_sources() if s.group == g) for g in heldout.GROUPS},
        **json.loads((work / "mixed.json").read_text(encoding="utf-8")),
        "held_out": measured,
    }
    (BASE / "language.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.barh(list(measured), [m["perplexity"] for m in measured.values()])
    left.set(title="Perplexity without unknown words")
    right.barh(list(measured), [100 * m["oov"] for m in measured.values()])
    right.set(title="Unknown words, %")
    figure.savefig(BASE / "language.png", dpi=90)
    return facts


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.training.language_model", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    command = {name: commands.add_parser(name) for name in ("text", "train", "lexicon", "report")}
    for sub in command.values():
        sub.add_argument("--work", type=Path, required=True, help="folder for what lies between, 4 GB")
    command["text"].add_argument("--mirror", type=Path, required=True, help="folder of the clones")
    command["text"].add_argument("--record", action="store_true", help="write checksums instead of checking them")
    command["train"].add_argument("--unseen", type=Path, action="append", default=[], help="text to keep out")
    command["train"].add_argument("--threshold", type=float, default=THRESHOLD)
    command["lexicon"].add_argument("--hama", type=Path, required=True, help="hama/assets of PyPI hama 1.3.13")
    command["report"].add_argument("--text", type=Path, action="append", default=[], help="measure on this as well")
    args = parser.parse_args(argv)
    try:
        if args.command == "text":
            make_text(args.mirror, args.work, args.record)
        elif args.command == "train":
            train(args.work, args.unseen, args.threshold)
        elif args.command == "lexicon":
            print(lexicon.make(args.work / "language.arpa", args.hama, BASE / "lexicon.tsv.gz"), "pronunciations")
        else:
            texts = {g: args.work / f"{g}.test.txt" for g in heldout.GROUPS} | {p.stem: p for p in args.text}
            print(json.dumps(report(args.work, texts)["held_out"], indent=2))
    except corpus.CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
