"""A workbench for the virtual Pi: cards put in and taken out, boots, power cuts, and what was heard and typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from device.bench.wer import score
from models.errors import UserError
from provisioning.emulator import card, sound
from provisioning.emulator.card import Card
from provisioning.emulator.machine import Drive
from provisioning.emulator.pi import VirtualPi, Witness
from provisioning.emulator.report import Steps

ROOT = Path(__file__).resolve().parents[2]
SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox")
"""LibriVox clips of Debian's pocketsphinx-testdata; `make setup` installs it."""
GROWTH = 512 << 20
"""How much larger than the image the card is."""
TOLERANCE = 0.25
"""Words that may differ from what this machine's own recogniser finds: the sound passes a loaded emulator."""

JOURNAL = "/dictate/journal"
"""Where the journal is on the data partition."""


WRITER = Path(__file__).with_name("journal_writer.py")


class Bench:
    """One board at a time; `card` is the file in its slot."""

    def __init__(self, image: Card, work: Path, steps: Steps) -> None:
        self.image, self.work, self.steps = image, work, steps
        self.size = image.image.stat().st_size + GROWTH
        self.failed = ""
        """The step that failed, if one did."""
        self.witness = Witness(None)
        """What was seen of the board until its power cut."""
        self.started = 0
        """How many block writes and flushes the first start took."""
        self._pi: VirtualPi | None = None
        self._folder = work

    @property
    def pi(self) -> VirtualPi:
        """The board that is running."""
        assert self._pi is not None, "no board is running: an earlier step failed"
        return self._pi

    def new_card(self, name: str, image: Path | None = None) -> Path:
        """A card as it comes from the image, or from another raw one; it is larger than the image."""
        return card.overlay(image or self.image.image, self.work / f"{name}.qcow2", self.size)

    def boot(
        self, name: str, file: Path, log: Path | None = None, extra: Mapping[str, bytes] | None = None
    ) -> VirtualPi:
        """Put the card in and give it current; logs go to a folder of that name. `extra` files are handed over."""
        self.power_off()
        self._folder = self.work / name
        files = {path.name: data for path, data in self.recordings.items()}
        files |= {WRITER.name: WRITER.read_bytes(), **(extra or {})}
        self._pi = VirtualPi.boot(self.image, Drive(file, log), self._folder, files=files)
        return self._pi

    def power_off(self) -> None:
        """Take the current away, if there is a board."""
        if self._pi is not None:
            self._pi.machine.kill()
            self._pi = None

    @cached_property
    def recordings(self) -> dict[Path, bytes]:
        """What is said to the board: a sentence, and two of them with a pause between, which makes two segments."""
        amiable = SPEECH / "sense_and_sensibility_01_austen_64kb-0930.wav"
        young_man = SPEECH / "sense_and_sensibility_01_austen_64kb-0880.wav"
        one, two = sound.padded(amiable), sound.joined([amiable, young_man], pause_s=1.5)
        return {self.work / "one.wav": one, self.work / "two.wav": two}

    @cached_property
    def expected(self) -> dict[str, str]:
        """What this machine's recogniser makes of each recording, by its file's name."""
        for file, data in self.recordings.items():
            file.write_bytes(data)
        dictate = Path(sys.executable).with_name("dictate")
        words = [dictate, "transcribe", "--live", "--json", "--backend", "cpu", *self.recordings]
        told = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
        return {Path(item["file"]).name: item["text"] for item in map(json.loads, told)}

    def last_words(self) -> str:
        """What the board said last, and where the rest is."""
        if self._pi is not None:
            with suppress(UserError):
                self._pi.shell.run("journalctl -b --no-pager -n 60 -u 'dictate*'", 60)
        files = [file for file in sorted(self._folder.glob("*.log")) if file.stat().st_size]
        return "\n\n".join(f"{file}:\n{tail(file, 60 if file.stem == 'shell' else 8)}" for file in files)


def tail(file: Path, lines: int) -> str:
    """The last lines of a file."""
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])


def word_errors(expected: str, heard: str) -> float:
    """Share of the expected words that differ, cases and punctuation aside."""
    return score([expected], [heard]).wer
