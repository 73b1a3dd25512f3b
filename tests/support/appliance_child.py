"""A whole appliance in a process of its own, for tests: everything real but the acoustic model and the pins.

    python appliance_child.py CONFIG FOLDER [real]

The recogniser is scripted, unless the real one is asked for: it says one segment after two blocks of sound and one at
the end, each with a word of its own that was never said before. What was handed to the sinks is noted in
FOLDER/acknowledged. The pins are gpiozero's mock pins; `down` and `up` on standard input press and release the button.
The file `coral-lost` in FOLDER makes the recogniser say that it runs on the CPU; `hang`, `broken` and `silent` make it
hang, fail, or say nothing.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
from gpiozero.pins.mock import MockFactory

from device.app.ports import LoadedRecognizer
from device.app.service import serve
from device.app.session import Environment
from device.asr.results import Event, Final, Segment
from device.config.loader import load
from device.config.schema import Config
from device.vocabulary.user_words import UserWord

LETTERS = "bdfgklmnprstvz"
"""No word of these letters is a number or a command."""


def marker(number: int) -> str:
    """A word for a number, of six consonants."""
    word = ""
    for _ in range(6):
        number, digit = divmod(number, len(LETTERS))
        word = LETTERS[digit] + word
    return f"q{word}"


class Scripted:
    """Stands in for the recogniser."""

    pending = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blocks = 0

    def accept_waveform(self, samples: np.ndarray) -> Iterator[Event]:
        while (self._folder / "hang").exists():
            time.sleep(0.1)
        if (self._folder / "broken").exists():
            raise RuntimeError("the scripted recogniser is broken")
        self._blocks += 1
        if self._blocks == 2:
            yield from self._say()

    def finish(self) -> Iterator[Event]:
        self._blocks = 0
        yield from self._say()
        yield Final(0.0)

    def reset(self) -> None:
        self._blocks = 0

    def _say(self) -> Iterator[Event]:
        if (self._folder / "silent").exists():
            return
        counter = self._folder / "counter"
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        beside = counter.with_suffix(".new")
        beside.write_text(str(number))
        beside.rename(counter)
        yield Segment(marker(number), 0.0, 0.0)
        with (self._folder / "acknowledged").open("a") as stream:
            stream.write(marker(number) + "\n")


def main(file: Path, folder: Path, real: bool) -> int:
    """Serve until told to end, with the scripted or the real recogniser."""
    kept = os.fdopen(os.dup(2), "w", buffering=1)  # device.audio.microphone silences descriptor 2 now and then
    logging.basicConfig(level=logging.INFO, stream=kept, format="%(relativeCreated)d %(name)s %(message)s")
    factory = MockFactory()
    pin = factory.pin(load(file).config.panel.button_pin)  # here: two threads asking at once would get two pins

    def scripted(settings: Config, words: tuple[UserWord, ...]) -> LoadedRecognizer:
        return LoadedRecognizer(Scripted(folder), lambda: "no Coral" if (folder / "coral-lost").exists() else "")

    if real:
        from device.app.recognizer import load_recognizer
    else:
        load_recognizer = scripted

    def hands() -> None:
        for line in sys.stdin:
            pin.drive_low() if line.strip() == "down" else pin.drive_high()
        time.sleep(5)
        os._exit(3)  # the test is gone

    Thread(target=hands, daemon=True).start()
    return serve(load(file), lambda: load(file), Environment(load_recognizer, lambda settings: Kept(factory)))


class Kept:
    """The mock pins, not closed at a reload, since the test still presses them."""

    def __init__(self, factory: MockFactory) -> None:
        self._factory = factory

    def __getattr__(self, name: str) -> object:
        return (lambda: None) if name == "close" else getattr(self._factory, name)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), real=sys.argv[3:] == ["real"]))
