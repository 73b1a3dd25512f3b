"""`dictate transcribe`: print what was said in recordings."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device.events import Event, Partial, Segment


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that loads a recogniser."""
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: $DICTATE_BUNDLE, models/build/base)")
    parser.add_argument("--backend", choices=("auto", "coral", "cpu"), default="auto", help="what runs the encoder")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for encoder and head (default: 1)")
    parser.add_argument("--live", action="store_true", help="hear as the appliance does: posteriors within 0.5 s")


def add_parser(subparsers: Any) -> None:
    """Add `dictate transcribe`."""
    parser = subparsers.add_parser("transcribe", help="print what was said in recordings")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="WAV, FLAC, OGG or MP3 of any rate")
    add_options(parser)
    parser.add_argument("--partials", action="store_true", help="show the words while they are found")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.set_defaults(run=_run)


def joined(events: Iterable[Event]) -> str:
    """The words of all segments.

    >>> joined([Segment("hello", 0.0, 0.5), Segment("world", 2.0, 2.5)])
    'hello world'
    """
    return " ".join(e.text for e in events if isinstance(e, Segment))


def show(event: Partial, width: int = 100) -> str:
    """A partial as one line that overwrites the one before: stable words, then, after a bar, those that may change."""
    text = f"{event.stable} | {event.tail}" if event.tail else event.stable
    return "\r\x1b[K" + text[-width:]


def _events(ears: Any, file: Path) -> Iterator[Event]:
    from device.audio import WaveFile

    for chunk in WaveFile(file):
        yield from ears.recognizer.accept(chunk.samples)
    yield from ears.recognizer.finish()


def _run(arguments: argparse.Namespace) -> int:
    from device import assemble
    from models.bundle import Bundle

    bundle = Bundle.open(arguments.bundle or assemble.default_bundle())
    ears = assemble.recognizer(bundle, arguments.backend, arguments.threads, arguments.live)
    if arguments.backend == "auto" and ears.accelerator.name == "cpu":
        print(f"dictate: the encoder runs on the CPU: {ears.why}", file=sys.stderr)
    for file in arguments.files:
        began, events = time.monotonic(), []
        for event in _events(ears, file):
            events.append(event)
            if isinstance(event, Partial):
                if arguments.partials:
                    print(show(event), end="", file=sys.stderr, flush=True)
            elif isinstance(event, Segment) and not arguments.json:
                if arguments.partials:
                    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
                print(event.text, flush=True)
        if arguments.json:
            segments = [asdict(e) for e in events if isinstance(e, Segment)]
            print(
                json.dumps(
                    {
                        "file": str(file),
                        "text": joined(events),
                        "segments": segments,
                        "seconds": events[-1].end,
                        "backend": ears.accelerator.name,
                        "elapsed": round(time.monotonic() - began, 3),
                    }
                ),
                flush=True,
            )
    return 0
