"""What following more hypotheses is worth, and choosing among them by the first pass's posteriors and language model.

    .venv/bin/python tests/benchmarks/rescoring.py DIR... [--weights LANGUAGE:POSTERIORS ...] [--beams N ...]

Each DIR has recordings and transcripts.tsv. With weights 0:0 the hypotheses have their own scores only, and the first
pass's words as a witness (device/asr/guard.py).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from device.asr import effort, factory, rescoring
from device.asr.results import joined
from device.audio.file import WaveFile
from device.bench.evaluation import read_transcripts
from device.bench.wer import score
from device.config import places
from models.bundle import Bundle
from models.transformer_bundle import TransformerBundle

WEIGHTS = ("0:0", "0.1:0", "0:0.1", "0.05:0.05", "0.1:0.1", "0.15:0.15", "0.2:0.2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, metavar="DIR", nargs="+")
    parser.add_argument("--weights", nargs="+", default=WEIGHTS, metavar="LANGUAGE:POSTERIORS")
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 4, 8], metavar="N")
    arguments = parser.parse_args()
    bundles = places.default_bundles(None)
    bundle, again = Bundle.open(bundles.dir), TransformerBundle.open(bundles.second_pass)
    spoken = {
        folder: [(list(WaveFile(file)), text) for file, text in read_transcripts(folder) if text]
        for folder in arguments.folders
    }
    print(f"| beam | weights | {' | '.join(f'{folder.name}' for folder in spoken)} |")
    print(f"|--:|--:|{'--:|' * len(spoken)}")
    for beam in arguments.beams:
        effort.BEAMS = (1, beam)
        for weights in arguments.weights if beam > 1 else arguments.weights[:1]:
            rescoring.LANGUAGE, rescoring.POSTERIORS = map(float, weights.split(":"))
            second = factory.Second(again, effort="best")
            recognizer = factory.recognizer(bundle, "cpu", second=second).recognizer
            cells = []
            for pairs in spoken.values():
                texts, seconds, began = [], 0.0, time.process_time()
                for chunks, _ in pairs:
                    events = [event for chunk in chunks for event in recognizer.accept_waveform(chunk.samples)]
                    events += recognizer.finish()
                    seconds += events[-1].end
                    texts.append(joined(events))
                cost = (time.process_time() - began) / seconds
                cells.append(f"{100 * score([text for _, text in pairs], texts).wer:.2f} at {cost:.3f}")
            print(f"| {beam} | {weights} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
