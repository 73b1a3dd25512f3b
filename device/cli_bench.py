"""`dictate bench`: how soon the words come on this machine, and what cores and clock are worth."""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device import assemble, bench, cli_config, realtime_bench
from device.audio import BLOCK, SAMPLE_RATE, WaveFile
from device.cli_transcribe import add_options
from device.recognizer import Recognizer
from models.bundle import Bundle
from models.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate bench`."""
    parser = subparsers.add_parser("bench", help="measure how soon the words come")
    cli_config.add_options(parser)
    add_options(parser)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of speech, or folders of them")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of an utterance (default 10)")
    parser.add_argument("--utterances", type=int, default=20, help="how many at most (default 20)")
    parser.add_argument("--realtime", action="store_true", help="what pinning and the clock's governor are worth")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    begun = time.perf_counter()
    bundle = Bundle.open(args.bundle or assemble.default_bundle())
    ears = assemble.recognizer(bundle, args.backend, args.threads, live=True)
    cold = time.perf_counter() - begun
    speech = bench.utterances(_speech(args.files, args.seconds * args.utterances), args.seconds)
    if not speech:
        raise UserError(f"less than {args.seconds:g} s of speech; name more recordings, or set --seconds")
    print(f"{len(speech)} utterances of {args.seconds:g} s, encoder on {ears.accelerator.name}, {os.cpu_count()} cores")
    print(f"loaded in {cold:.2f} s\n")
    print(bench.table([bench.listen(ears.recognizer, samples) for samples in speech]))
    if args.realtime:
        settings = cli_config.load_from(args).config.realtime
        print("\na second of sound")
        print(realtime_bench.table(realtime_bench.compare(_second(ears.recognizer, speech[0]), settings, repeats=60)))
        print("\nloading")

        def load() -> None:
            assemble.recognizer(bundle, args.backend, args.threads, live=True).accelerator.close()

        print(realtime_bench.table(realtime_bench.compare(load, settings, repeats=6)))
        print("\nwaking late on busy cores")
        print(realtime_bench.table(realtime_bench.wake_ups(settings)))
    return 0


def _second(recognizer: Recognizer, samples: NDArray[np.int16]) -> Callable[[], None]:
    """Something that gives the recogniser the next second each time, round and round."""
    blocks = itertools.cycle(np.array_split(samples, max(1, len(samples) // BLOCK)))

    def step() -> None:
        for block in itertools.islice(blocks, SAMPLE_RATE // BLOCK):
            recognizer.accept(block)

    return step


def _speech(files: list[Path], seconds: float) -> NDArray[np.int16]:
    """The recordings one after another, `seconds` at most."""
    found: list[NDArray[np.int16]] = []
    missing = round(seconds * SAMPLE_RATE)
    for file in files:
        for recording in sorted(file.rglob("*.flac")) + sorted(file.rglob("*.wav")) if file.is_dir() else [file]:
            for chunk in WaveFile(recording):
                found.append(chunk.samples[:missing])
                missing -= len(found[-1])
            if missing <= 0:
                return np.concatenate(found)
    return np.concatenate(found) if found else np.zeros(0, np.int16)
