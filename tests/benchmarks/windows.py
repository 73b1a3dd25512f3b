"""How much of each window to keep: word error rate and cost against delay.

    .venv/bin/python tests/benchmarks/windows.py DIR [--keep HOP:RIGHT ...]

HOP is how many log-mel frames (10 ms each) are new in each call of the encoder, RIGHT how many it hears after them.
Words come HOP + RIGHT frames late at most.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from device.asr import factory
from device.asr.results import joined
from device.audio.file import WaveFile
from device.bench.evaluation import read_transcripts
from device.bench.wer import score
from device.config import places
from models.bundle import Bundle

KEEP = ("352:80", "192:80", "96:80", "96:48", "64:48", "32:48", "32:32", "32:16", "16:32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--keep", nargs="+", default=KEEP, metavar="HOP:RIGHT")
    parser.add_argument("--bundle", type=Path, default=places.default_bundle())
    arguments = parser.parse_args()
    opened = Bundle.open(arguments.bundle)
    pairs = read_transcripts(arguments.folder)
    sounds = [list(WaveFile(file)) for file, _ in pairs]
    print("| hop | right | delay ms | WER % | RTF |\n|--:|--:|--:|--:|--:|")
    for keep in arguments.keep:
        hop, right = map(int, keep.split(":"))
        window = dataclasses.replace(opened.window, hop=hop, right=right)
        bundle = dataclasses.replace(opened, description=dataclasses.replace(opened.description, window=window))
        recognizer = factory.recognizer(bundle, "cpu").recognizer
        texts, seconds, began = [], 0.0, time.process_time()
        for chunks in sounds:
            events = [
                event for chunk in chunks for event in recognizer.accept_waveform(chunk.samples)
            ] + recognizer.finish()
            texts.append(joined(events))
            seconds += events[-1].end
        cost = (time.process_time() - began) / seconds
        wer = score([text for _, text in pairs], texts).wer
        print(f"| {hop} | {right} | {10 * (hop + right)} | {100 * wer:.1f} | {cost:.4f} |", flush=True)


if __name__ == "__main__":
    main()
