"""Words that two-pass recognition finds where none were said, and loops in long speech.

    .venv/bin/python tests/benchmarks/hallucination.py [--seconds 60] [--speech DIR --minutes 30]

First each kind of noise in tests/support/noises.py; then, where DIR is given, its recordings one after another with
pauses of 0.2 to 3 s for so many minutes, and the words of each against those that it has alone.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.asr import factory
from device.asr.guard import repetitions
from device.asr.results import Segment
from device.asr.word_alignment import plain
from device.audio.file import WaveFile
from device.config import places
from models.bundle import Bundle

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from noises import KINDS, noise

RATE = 16_000


class Reasons(logging.Handler):
    """Counts what the guard says."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.counted[record.getMessage()] += 1


def words(pipeline: factory.Pipeline, samples: NDArray[np.int16]) -> list[str]:
    """What is found in `samples`, chunk by chunk."""
    events = [
        event
        for first in range(0, len(samples), 1_600)
        for event in pipeline.recognizer.accept_waveform(samples[first : first + 1_600])
    ]
    events += pipeline.recognizer.finish()
    return [word for event in events if isinstance(event, Segment) for word in event.text.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    reasons = Reasons()
    log = logging.getLogger("device.asr.two_pass")
    log.addHandler(reasons)
    log.setLevel(logging.INFO)
    folders = places.default_bundles()
    second = factory.second_pass("two-pass", folders.second_pass, "best", sys.exit)
    pipeline = factory.recognizer(Bundle.open(folders.dir), "cpu", live=True, second=second)
    for kind in KINDS:
        print(
            f"{kind:16} {options.seconds:g} s: {len(words(pipeline, noise(kind, options.seconds)))} words", flush=True
        )
    if options.speech:
        recordings = [np.concatenate([c.samples for c in WaveFile(f)]) for f in sorted(options.speech.glob("*.flac"))]
        random, parts, seconds, expected, index = np.random.default_rng(1), list[NDArray[np.int16]](), 0.0, 0, 0
        alone = [len(words(pipeline, recording)) for recording in recordings]
        while seconds < options.minutes * 60:
            pause = noise("one bit", float(random.uniform(0.2, 3.0)), index)
            parts += [recordings[index % len(recordings)], pause]
            seconds += (len(parts[-1]) + len(parts[-2])) / RATE
            expected, index = expected + alone[index % len(recordings)], index + 1
        began = time.process_time()
        heard = words(pipeline, np.concatenate(parts))
        print(f"{seconds / 60:.1f} min of speech with pauses: {len(heard)} words, {expected} in the recordings alone")
        print(f"repetitions of two words and more: {len(list(repetitions([plain(word) for word in heard])))}")
        print(f"{(time.process_time() - began) / seconds:.4f} CPU seconds a second")
    for reason, count in reasons.counted.items():
        print(f"{count} times: {reason}")


if __name__ == "__main__":
    main()
