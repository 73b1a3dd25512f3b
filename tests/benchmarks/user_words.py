"""How many of the names that the second pass misses it hears once the user has added them.

    .venv/bin/python tests/benchmarks/user_words.py DIR... [--most N] [--others N]

Each DIR has recordings and transcripts.tsv. Names are words with a capital within a sentence. Those that greedy
decoding misses, up to N and in their order, are added as a user would (`dictate words add`), with other words
that nobody says. Recall counts the recordings with a name in which it is heard; WER is that of all recordings, to show
what the added words do to the rest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from device.asr import factory
from device.asr.results import joined
from device.asr.word_alignment import plain
from device.audio.file import WaveFile
from device.bench.evaluation import read_transcripts
from device.bench.wer import score
from device.config import places
from device.config.schema import Effort
from device.vocabulary import user_words
from models.bundle import Bundle
from models.lexicon import Lexicon
from models.transformer_bundle import TransformerBundle

SHORTEST = 4  # letters of a name


def names(text: str) -> Iterator[str]:
    """The names in a text, as they are written.

    >>> list(names('In fact Gunther Zeiner\\'s type. Then "Venice" followed.'))
    ['Gunther', 'Zeiner']
    """
    before = "."
    for word in text.split():
        written = word.strip("\"'().,;:!?-").removesuffix("'s")
        if before[-1] not in '.:?!"' and written.isalpha() and written.istitle() and len(written) >= SHORTEST:
            yield written
        before = word


def spoken(text: str) -> set[str]:
    return {plain(word).removesuffix("'s") for word in text.replace("-", " ").split()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, metavar="DIR", nargs="+")
    parser.add_argument("--most", type=int, default=24, metavar="N", help="names at most")
    parser.add_argument("--others", type=int, default=60, metavar="N", help="words that are added beside them")
    arguments = parser.parse_args()
    bundles = places.default_bundles(None)
    bundle, again = Bundle.open(bundles.dir), TransformerBundle.open(bundles.second_pass)
    pairs = [pair for folder in arguments.folders for pair in read_transcripts(folder) if pair[1]]
    sounds = [list(WaveFile(file)) for file, _ in pairs]
    texts = [text for _, text in pairs]

    def heard(effort: Effort, words: list[str]) -> list[str]:
        print(f"{len(pairs)} recordings, {effort}, {len(words)} words", file=sys.stderr)
        own = user_words.own_words([user_words.word(word) for word in words], bundle)
        second = factory.Second(again, effort=effort, words=tuple(words))
        recognizer = factory.recognizer(bundle, "cpu", words=own, second=second).recognizer
        found = []
        for chunks in sounds:
            events = [event for chunk in chunks for event in recognizer.accept_waveform(chunk.samples)]
            found.append(joined(events + recognizer.finish()))
        return found

    def row(case: str, found: list[str]) -> str:
        right = sum(plain(name) in spoken(found[at]) for name, at in places_of.items())
        return f"| {case} | {right} of {len(places_of)} | {100 * score(texts, found).wer:.2f} |"

    greedy = heard("fast", [])
    places_of: dict[str, int] = {}
    for at, text in enumerate(texts):
        for name in names(text):
            if plain(name) not in spoken(greedy[at]) and len(places_of) < arguments.most:
                places_of.setdefault(name, at)
    said = {word for text in texts for word in spoken(text)}
    rare = [w for w in Lexicon.load(bundle.path("lexicon")).words[40_000::500] if len(w) >= SHORTEST and w not in said]
    added = [*places_of, *(word.title() for word in rare if word.isalpha())][: len(places_of) + arguments.others]
    print(f"names: {', '.join(places_of)}")
    print("| | heard | WER % |\n|---|--:|--:|")
    print(row("one hypothesis, none added", greedy))
    print(row("eight hypotheses, none added", heard("best", [])), flush=True)
    print(row("one hypothesis, added", heard("fast", added)), flush=True)
    print(row("eight hypotheses, added", heard("best", added)), flush=True)


if __name__ == "__main__":
    main()
