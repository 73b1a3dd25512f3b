"""`dictate transcribe`: print what was said in recordings."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from device.asr import factory
from device.asr.effort import Effort
from device.asr.recognizer import Stage
from device.asr.results import Event, Partial, Segment, joined
from device.cli import argument_types


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that loads a recogniser."""
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: bundle.dir of the configuration)")
    parser.add_argument("--backend", choices=("auto", "coral", "cpu"), default="auto", help="what runs the encoder")
    parser.add_argument(
        "--threads", type=argument_types.count, default=1, help="CPU threads for encoder and head (default: 1)"
    )
    parser.add_argument("--live", action="store_true", help="hear as the appliance does: posteriors within 0.5 s")
    parser.add_argument(
        "--mode",
        choices=get_args(factory.Mode),
        default="two-pass",
        help="two-pass: a second model writes the final text; streaming: the first alone; accurate: longer segments",
    )
    parser.add_argument(
        "--second-pass", type=Path, metavar="DIR", help="the second model's bundle (default: as --bundle)"
    )
    parser.add_argument(
        "--effort",
        choices=get_args(Effort),
        default="best",
        help="hypotheses of the second model: four (best), one (fast), or as many as there is time for (auto)",
    )


def load_recognizer(
    arguments: argparse.Namespace, command: str, stage: Stage = lambda name: nullcontext()
) -> tuple[factory.Pipeline, dict[str, Any]]:
    """The recogniser that the options ask for, and what a report says of it; says what is less than was asked for."""
    from device.config import bundle_folder
    from models.bundle import Bundle

    def warn(line: str) -> None:
        print(f"dictate {command}: {line}", file=sys.stderr, flush=True)

    folders = bundle_folder.default_bundles(arguments.bundle)
    bundle = Bundle.open(folders.dir)
    folder = arguments.second_pass or folders.second_pass
    second = factory.second_pass(arguments.mode, folder, arguments.effort, warn)
    pipeline = factory.recognizer(
        bundle, arguments.backend, arguments.threads, arguments.live, stage=stage, second=second
    )
    factory.say_backend(command, pipeline, arguments.backend)
    return pipeline, {
        "bundle": bundle.description.name,
        "mode": arguments.mode if second else "streaming",
        "second_pass": second.bundle.description.name if second else None,
        "effort": arguments.effort if second else None,
        "live": arguments.live,
        "threads": arguments.threads,
    }


def add_parser(subparsers: Any) -> None:
    """Add `dictate transcribe`."""
    parser = subparsers.add_parser("transcribe", help="print what was said in recordings")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="WAV, FLAC, OGG or MP3 of any rate; others through ffmpeg"
    )
    add_options(parser)
    parser.add_argument("--partials", action="store_true", help="show the words while they are found")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.set_defaults(run=_run)


def formatted(event: Partial, width: int) -> str:
    """A partial in one line of at most `width` characters, the newest: stable words, a bar, those that may change.

    >>> formatted(Partial("it is", "late no", 1.0), width=9)
    '| late no'
    """
    text = f"{event.stable} | {event.tail}" if event.tail else event.stable
    return text[-width:]


class Partials:
    """Shows partials on standard error: in one line that is overwritten on a terminal, elsewhere one after another."""

    def __init__(self, wanted: bool, json: bool) -> None:
        self._wanted = wanted
        self._in_place = wanted and not json and sys.stderr.isatty()

    def update(self, event: Partial) -> None:
        """Show `event`, if partials are wanted."""
        if self._in_place:
            columns = shutil.get_terminal_size().columns
            print(f"\r\x1b[K{formatted(event, max(1, columns - 1))}", end="", file=sys.stderr, flush=True)
        elif self._wanted:
            print(formatted(event, 1 << 30), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a line of text."""
        if self._in_place:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _transcribe(pipeline: factory.Pipeline, file: Path, partials: Partials, print_segments: bool) -> dict[str, Any]:
    """Hear one recording, as far as it goes; returns what --json prints of it."""
    from device.audio.chunk import SAMPLE_RATE
    from device.audio.decode import AudioError
    from device.audio.file import WaveFile

    began = time.monotonic()
    segments: list[Segment] = []
    seconds = 0.0
    problem = None

    def take(events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Partial):
                partials.update(event)
            elif isinstance(event, Segment):
                segments.append(event)
                if print_segments:
                    partials.clear()
                    print(event.text, flush=True)

    try:
        for chunk in WaveFile(file):
            seconds = chunk.seconds + len(chunk.samples) / SAMPLE_RATE
            take(pipeline.recognizer.accept_waveform(chunk.samples))
    except AudioError as error:
        problem = str(error)
    take(pipeline.recognizer.finish())
    partials.clear()
    return {
        "file": str(file),
        "text": joined(segments),
        "segments": [asdict(segment) for segment in segments],
        "seconds": round(seconds, 3),
        "backend": pipeline.accelerator.name,
        "elapsed": round(time.monotonic() - began, 3),
        "error": problem,
    }


def _run(arguments: argparse.Namespace) -> int:
    pipeline, about = load_recognizer(arguments, "transcribe")
    partials = Partials(arguments.partials, arguments.json)
    status = 0
    for file in arguments.files:
        heard = {**_transcribe(pipeline, file, partials, print_segments=not arguments.json), "mode": about["mode"]}
        if arguments.json:
            print(json.dumps(heard), flush=True)
        if heard["error"]:
            print(f"dictate transcribe: {heard['error']}", file=sys.stderr, flush=True)
            status = 1
    return status
