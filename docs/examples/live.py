"""Microphone to text in one screen: partial results while you speak, a segment at each pause.

    .venv/bin/python docs/examples/live.py          # the first sound card that can capture; Ctrl-C ends
    .venv/bin/python docs/examples/live.py USB      # the one whose name holds "USB"

The bundle is the one that `make demo` assembles.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from device.asr import factory
from device.asr.results import Event, Partial, Segment
from device.audio.microphone import Microphone
from device.config.places import default_bundle
from device.config.schema import AudioSettings
from models.bundle import Bundle

CLEAR_LINE = "\r\033[K"


def show(events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, Partial):  # stable words and a tail that may still change
            print(f"{CLEAR_LINE}{event.stable} {event.tail}".rstrip(), end="", flush=True)
        elif isinstance(event, Segment):  # ended by silence: its words never change
            print(f"{CLEAR_LINE}{event.text}", flush=True)


def main(device: str) -> None:
    bundle = Bundle.open(default_bundle())
    recognizer = factory.recognizer(bundle, backend="auto", live=True).recognizer  # the Coral if there is one
    microphone = Microphone(AudioSettings(device=device), notify=lambda status: print(status, file=sys.stderr))
    try:
        for chunk in microphone:  # 100 ms of 16 kHz mono, int16
            show(recognizer.accept_waveform(chunk.samples))
    except KeyboardInterrupt:
        show(recognizer.finish())


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
