"""How soon each spoken word is shown, and how often a shown word turns out wrong, while one dictates.

    .venv/bin/python tests/benchmarks/live.py DIR [--look HOP:RIGHT ...]

A word counts as spoken when the search, given posteriors of full context, first has it; as shown when a partial text
has it in its place or beside it. HOP is how many log-mel frames (10 ms) are new in each look ahead, RIGHT how many of
the newest are heard but not yet shown. Work is counted as processor time, so that a busy machine does not show.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.asr import factory
from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from device.asr.features import LogMel
from device.asr.recognizer import Recognizer
from device.asr.results import Partial, Segment
from device.asr.windowing import Windows
from device.audio.chunk import BLOCK, SAMPLE_RATE
from device.audio.file import WaveFile
from device.bench.evaluation import read_transcripts
from device.bench.wer import score
from device.config import places
from models.bundle import Bundle

LOOKS = ("30:0", "20:0", "20:8", "20:16", "10:8", "30:8")


@dataclass
class Found:
    """What one setting led to."""

    covered: list[float] = field(default_factory=list)  # newest sound to its partial text, s
    words: list[float] = field(default_factory=list)  # a word spoken to the word shown, s
    blocks: list[float] = field(default_factory=list)  # work for 100 ms, s
    after: list[float] = field(default_factory=list)  # last sample to final text, s
    shown: int = 0
    changed: int = 0
    texts: list[str] = field(default_factory=list)


def spoken(bundle: Bundle, encoder: Encoder, decoder: Decoder, samples: NDArray[np.int16]) -> list[tuple[str, float]]:
    """The words of a recording in one segment, and when each was first found, in seconds."""
    d = bundle.description
    features, windows = LogMel.of(bundle), Windows(d.window, d.front_end.mels, d.front_end.feature_floor)
    calls = windows.push(features.extract(samples)) + windows.push(features.finish()) + windows.finish()
    frames = np.concatenate([encoder.head(encoder.hidden(call.mel), call.committed) for call in calls])
    seen = []
    for frame in frames:
        decoder.advance(frame[None])
        seen.append(decoder.fork().finish())
    final, second = decoder.finish(), d.front_end.hop * d.window.stride / SAMPLE_RATE
    first = [next((i for i, words in enumerate(seen) if word in words[max(0, k - 1) : k + 2]), len(seen))
             for k, word in enumerate(final)]  # fmt: skip
    return [(word, (i + 1) * second) for word, i in zip(final, first, strict=True)]


def listen(
    recognizer: Recognizer, samples: NDArray[np.int16], truth: Sequence[tuple[str, float]], found: Found
) -> None:
    """Gives a recording in blocks as they would come and notes what is shown when."""
    settled: list[str] = []
    history: list[tuple[float, list[str]]] = []
    done = 0.0
    for first in range(0, len(samples), BLOCK):
        piece, begun = samples[first : first + BLOCK], time.process_time()
        events = recognizer.accept_waveform(piece)
        found.blocks.append(time.process_time() - begun)
        done = max(done, (first + len(piece)) / SAMPLE_RATE) + found.blocks[-1]
        for event in events:
            if isinstance(event, Segment):
                settled += event.text.split()
            elif isinstance(event, Partial):
                history.append((done, [*settled, *event.stable.split(), *event.tail.split()]))
                found.covered.append(done - recognizer.searched)
    begun = time.process_time()
    settled += [word for event in recognizer.finish() if isinstance(event, Segment) for word in event.text.split()]
    found.after.append(time.process_time() - begun)
    found.texts.append(" ".join(settled))
    history.append((done + found.after[-1], settled))
    for k, (word, when) in enumerate(truth):
        shown = next((at for at, words in history if word in words[max(0, k - 1) : k + 2]), None)
        if shown is not None:
            found.words.append(shown - when)
    for _, words in history[:-1]:
        found.shown += len(words)
        found.changed += sum(word not in settled[max(0, k - 1) : k + 2] for k, word in enumerate(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--look", nargs="+", default=LOOKS, metavar="HOP:RIGHT")
    parser.add_argument("--bundle", type=Path, default=places.default_bundle())
    arguments = parser.parse_args()
    opened = Bundle.open(arguments.bundle)
    encoder = Encoder(opened, factory.accelerators(opened, None, "cpu", 1)[0].accelerator)
    decoder = Decoder.of(opened)
    pairs = read_transcripts(arguments.folder)
    sounds = [np.concatenate([chunk.samples for chunk in WaveFile(file)]) for file, _ in pairs]
    truths = [spoken(opened, encoder, decoder, samples) for samples in sounds]
    print(
        "| hop | right | sound shown after ms p50 p95 p99 | word shown after ms p50 p95 p99 | within 500 ms % "
        "| shown words that change % | work for 100 ms, ms mean p50 p99 | after the end ms p50 p99 | final WER % |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for look in arguments.look:
        hop, right = map(int, look.split(":"))
        window = dataclasses.replace(opened.window, live_hop=hop, live_right=right)
        bundle = dataclasses.replace(opened, description=dataclasses.replace(opened.description, window=window))
        recognizer, found = Recognizer(bundle, encoder, decoder, live=True), Found()
        for samples, truth in zip(sounds, truths, strict=True):
            listen(recognizer, samples, truth, found)

        def ms(values: list[float], *which: int) -> str:
            figures = [1e3 * figure for figure in np.percentile(values, [50, 95, 99])]
            return " ".join(f"{figures[i]:.1f}" if figures[i] < 20 else f"{figures[i]:.0f}" for i in which)

        soon = 100 * np.mean([late <= 0.5 for late in found.words])
        wer = 100 * score([text for _, text in pairs], found.texts).wer
        print(
            f"| {hop} | {right} | {ms(found.covered, 0, 1, 2)} | {ms(found.words, 0, 1, 2)} | {soon:.1f} "
            f"| {100 * found.changed / found.shown:.1f} | {1e3 * np.mean(found.blocks):.1f} {ms(found.blocks, 0, 2)} "
            f"| {ms(found.after, 0, 2)} | {wer:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
