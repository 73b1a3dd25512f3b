"""How long a listening recogniser lets wait: for each block of 100 ms, and for the final text after the release.

    .venv/bin/python tests/benchmarks/release.py DIR [--mode streaming] [--effort fast] [--seconds 5] [--blocking]

At a microphone's pace, wall clock, on all cores that the process may use. Dictations: each recording of DIR that is
long enough, cut off after so many seconds, as if the button were let go there. Pauses: the same pieces in one
dictation, a second apart, so that segments end and are decoded while the next is heard. `--blocking` decodes them in
the call that ends them, as files are.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from device.asr import factory
from device.audio.chunk import BLOCK
from device.audio.file import WaveFile
from device.config import places, schema
from models.bundle import Bundle

RATE = 16_000
WARM_UP = 2  # dictations that do not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--mode", choices=get_args(schema.Mode), default="two-pass")
    parser.add_argument("--effort", choices=get_args(schema.Effort), default="best")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="N")
    parser.add_argument("--most", type=int, default=30, metavar="N", help="dictations at most")
    parser.add_argument("--blocking", action="store_true")
    arguments = parser.parse_args()
    bundles = places.default_bundles(None)
    second = factory.second_pass(arguments.mode, bundles.second_pass, arguments.effort, sys.exit)
    bundle = Bundle.open(bundles.dir)
    background = not arguments.blocking
    recognizer = factory.recognizer(bundle, "cpu", live=True, second=second, background=background).recognizer
    length = round(arguments.seconds * RATE)
    sounds = [np.concatenate([c.samples for c in WaveFile(file)]) for file in sorted(arguments.folder.glob("*.flac"))]
    pieces = [samples[:length] for samples in sounds if len(samples) >= length][: arguments.most + WARM_UP]

    def dictated(samples: NDArray[np.int16]) -> tuple[list[float], float]:
        """Seconds that each block and the final text were late."""
        late, due = [], time.perf_counter()
        for block in np.split(samples, range(BLOCK, len(samples), BLOCK)):
            due += len(block) / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            recognizer.accept_waveform(block)
            late.append(time.perf_counter() - due)
        recognizer.finish()
        return late, time.perf_counter() - due

    blocks: list[float] = []
    releases: list[float] = []
    for index, samples in enumerate(pieces):
        late, release = dictated(samples)
        if index >= WARM_UP:
            blocks += late
            releases.append(release)
    silence = np.random.default_rng(0).normal(0, 8, RATE).astype(np.int16)
    pauses, _ = dictated(np.concatenate([part for samples in pieces[WARM_UP:] for part in (samples, silence)]))
    print("| ms | number | p50 | p95 | p99 | max |\n|---|--:|--:|--:|--:|--:|")
    for name, values in (
        ("a block of 100 ms, in dictations", blocks),
        ("a block of 100 ms, with pauses", pauses),
        ("release to final text", releases),
    ):
        figures = " | ".join(f"{1e3 * value:.1f}" for value in np.percentile(values, (50, 95, 99, 100)))
        print(f"| {name} | {len(values)} | {figures} |")


if __name__ == "__main__":
    main()
