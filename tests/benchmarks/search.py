"""The search beside flashlight-text's, on the same posteriors: `.venv/bin/python tests/benchmarks/search.py DIR`.

Each recording is searched by both before the next, so that what else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.asr import factory
from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from device.asr.features import LogMel
from device.asr.windowing import Windows
from device.audio.file import WaveFile
from device.bench.evaluation import read_transcripts
from device.bench.wer import score
from device.config import places
from models.bundle import Bundle

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from flashlight_search import Flashlight

Search = Callable[[NDArray[np.float32]], tuple[tuple[str, ...], float]]


def built(make: Callable[[], Search]) -> tuple[Search, float]:
    begun = time.process_time()
    return make(), time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--bundle", type=Path, default=places.default_bundle())
    parser.add_argument("--beams", type=int, nargs="+", default=[100, 50, 30])
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    d, encoder = bundle.description, Encoder(bundle, factory.accelerators(bundle, None, "cpu", 1)[0].accelerator)

    def ours(beam: int) -> Search:
        decoder = Decoder.of(bundle, search=dataclasses.replace(d.search, beam=beam))

        def search(log_probs: NDArray[np.float32]) -> tuple[tuple[str, ...], float]:
            decoder.advance(log_probs)
            return decoder.close()

        return search

    searches = {"flashlight-text, beam 100": built(lambda: Flashlight(bundle))}
    searches |= {f"device/asr/csrc, beam {beam}": built(lambda beam=beam: ours(beam)) for beam in arguments.beams}
    texts: dict[str, list[str]] = {name: [] for name in searches}
    spent = dict.fromkeys(searches, 0.0)
    frames, references = 0, []
    for file, text in read_transcripts(arguments.folder):
        features, windows = LogMel.of(bundle), Windows(d.window, d.front_end.mels, d.front_end.feature_floor)
        calls = [call for chunk in WaveFile(file) for call in windows.push(features.extract(chunk.samples))]
        calls += windows.push(features.finish()) + windows.finish()
        log_probs = np.concatenate([encoder.head(encoder.hidden(call.mel), call.committed) for call in calls])
        frames += len(log_probs)
        references.append(text)
        for name, (search, _) in searches.items():
            begun = time.process_time()
            words, _ = search(log_probs)
            spent[name] += time.process_time() - begun
            texts[name].append(" ".join(words))
    first = next(iter(searches))
    print("| search | WER % | µs a frame of 20 ms | to the first | built in ms | to the first |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, (_, building) in searches.items():
        wer = 100 * score(references, texts[name]).wer
        print(
            f"| {name} | {wer:.1f} | {1e6 * spent[name] / frames:.0f} | {spent[name] / spent[first]:.2f} "
            f"| {1e3 * building:.0f} | {building / searches[first][1]:.2f} |"
        )


if __name__ == "__main__":
    main()
