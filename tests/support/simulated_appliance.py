"""The appliance with a clock that is set by hand: hours of faults in a minute.

Real: configuration, converter and mixer, state machine, gestures, accelerator with its fallback, formatter, journal
and its files, keyboard and its port, words file, meter and battery monitor. The computer is the reading end of a named
pipe. Stand-ins: the sound card (blocks of samples are made here), the acoustic model (it knows twelve tones by their
spectrum, each of which is a letter), the Coral (it fails when told), the disk's end (a limit on the size of files), and
kill -9 (an exception at a chosen moment, after which everything is abandoned as it is).
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from usb_host import Host, Table

from device.app.controller import Appliance
from device.app.ports import (
    Dependencies,
    Edge,
    Input,
    LoadedRecognizer,
    MicrophoneStatus,
    Outcome,
    OutputStatus,
    Phase,
    StopRequested,
)
from device.asr.results import Event, Final, Segment
from device.audio.chunk import Chunk, Converter, PreRoll
from device.config import loader, skip_invalid
from device.config.loader import ConfigError
from device.config.schema import Config
from device.inference.edgetpu.client import CoralCrashed, CoralHung
from device.inference.fallback import FallbackAccelerator, NoCoral
from device.inference.shapes import Shapes
from device.output import layouts
from device.output.dispatcher import Fanout
from device.output.hid_gadget import HidGadget
from device.output.hid_report import RELEASE
from device.output.journal import DeliveryState, Journal, JournalEntry, entries_in, open_journal
from device.output.jsonl import decode
from device.output.keyboard import Keyboard
from device.panel import leds
from device.panel.gpio import gestures_from
from device.power.lasting_meter import LastingMeter
from device.power.monitor import Battery, Monitor, Usage
from device.power.sensors import Gauges
from device.text.edits import Insert
from device.text.formatter import TextFormatter, rules_from
from device.vocabulary.user_words import UserWord, Watched, spellings
from models.errors import UserError

BLOCK_S = 0.1
LETTERS = "bdfgklmnprst"
"""One for each tone. No word of these is a number or a command."""
HERTZ = [400.0 + 160.0 * index for index in range(len(LETTERS))]
SILENCE = len(LETTERS)
FRAME = 800
"""Samples for one look at the spectrum: 50 ms."""
TONE_S = 0.2
WRITTEN, SAID = "Qxyz-Corp", "qxyz-corp"
"""A word of the user's own, as it is written and as it is recognised."""


def word(number: int) -> str:
    """A word for a number below 15,972: no letter follows itself, so that each tone has an end."""
    number, digit = divmod(number, 12)
    digits = [digit]
    for _ in range(3):
        number, step = divmod(number, 11)
        digits.append((digits[-1] + 1 + step) % 12)
    return "q" + "".join(LETTERS[digit] for digit in digits)


def sound(said: str, rate: int = 16_000) -> NDArray[np.float32]:
    """A word as tones, full scale ±1, with a pause after it."""
    time = np.arange(round(TONE_S * rate)) / rate
    tones = [0.3 * np.sin(2 * np.pi * HERTZ[LETTERS.index(letter)] * time) for letter in said[1:]]
    return np.asarray(np.concatenate([*tones, np.zeros(round(0.1 * rate))]), np.float32)


class Killed(BaseException):
    """kill -9 came: nothing that is open is closed."""


@dataclass
class FaultyCoral:
    """Stands in for the Coral: gives its window back until it is told how to fail."""

    fault: str = ""
    name: str = "coral"
    shapes: tuple[Shapes, ...] = (Shapes((1, 1), (1, 1)),)

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        self.check()
        return window.copy()

    def check(self) -> None:
        errors = {"crashed": CoralCrashed, "hung": CoralHung, "gone": NoCoral}
        if self.fault:
            raise errors[self.fault](f"the Coral {self.fault}")

    def poll(self, wait_s: float = 0.0) -> FaultyCoral:
        self.check()
        return self

    def close(self) -> None:
        pass


class Tones:
    """Stands in for the recogniser: each tone that lasts is a letter, four letters are a word."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.accelerator = FallbackAccelerator(FaultyCoral(name="cpu"), self._start, clock=lambda: world.now)
        self.accelerator.wait(1.0)
        self._left: NDArray[np.int16] = np.zeros(0, np.int16)
        self._frames: list[int] = []

    def _start(self) -> FaultyCoral:
        self._world.coral.check()
        return self._world.coral

    pending = False

    def accept_waveform(self, samples: NDArray[np.int16]) -> Sequence[Event]:
        if self._world.broken:
            raise RuntimeError("the recogniser is broken")
        whole = np.concatenate([self._left, samples])
        count = len(whole) // FRAME
        self._left = whole[count * FRAME :]
        for frame in whole[: count * FRAME].reshape(count, FRAME):
            self._frames.append(int(self.accelerator.invoke(np.array([[tone_of(frame)]], np.int8))[0, 0]))
        if self._frames[-4:] == [SILENCE] * 4 and not self._world.behind:
            return self._segment()
        return ()

    def finish(self) -> Sequence[Event]:
        return [*self._segment(), Final(0.0)]

    def reset(self) -> None:
        self._frames.clear()

    def _segment(self) -> Sequence[Event]:
        frames, self._frames = self._frames, []
        letters = []
        for letter in range(len(LETTERS)):
            runs = "".join("x" if frame == letter else " " for frame in frames)
            letters += [(found.start(), LETTERS[letter]) for found in re.finditer("xx+", runs)]
        text = "".join(letter for _, letter in sorted(letters))
        words = [f"q{text[at : at + 4]}" for at in range(0, len(text), 4)]
        if words and len(words[-1]) < 5:  # cut short: marked, so that no two are alike
            words[-1] += "w" + word(len(self._world.found))[1:]
        if self._world.own_word and words:
            words, self._world.own_word = [*words, SAID], False
        self._world.found += [found for found in words if found != SAID]
        return [Segment(" ".join(words), 0.0, 0.0)] if words else []


def tone_of(frame: NDArray[np.int16]) -> int:
    """The tone of 50 ms of sound, SILENCE for none."""
    if np.abs(frame).max() < 300:
        return SILENCE
    spectrum = np.abs(np.fft.rfft(frame))
    loudest = float(np.argmax(spectrum)) * 16_000 / FRAME
    nearest = min(range(len(HERTZ)), key=lambda tone: abs(HERTZ[tone] - loudest))
    return (
        nearest if abs(HERTZ[nearest] - loudest) < 60 and spectrum.max() > 0.5 * np.abs(spectrum).sum() / 3 else SILENCE
    )


class Computer:
    """The computer: reads the pipe whenever the keyboard has written, unless it sleeps or is away."""

    def __init__(self, pipe: Path) -> None:
        self.pipe, self.host = pipe, Host(Table("us"))
        self._end = self._filler = -1
        os.mkfifo(pipe)
        self.plug_in()

    def plug_in(self) -> None:
        self._end = os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._end, fcntl.F_SETPIPE_SZ, 4_096)

    def unplug(self) -> None:
        self.wake()
        os.close(self._end)
        self._end = -1

    def sleep(self) -> None:
        """Take nothing: like a gadget whose host polls no more, the pipe is full."""
        self._filler = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(BlockingIOError):
            while True:
                os.write(self._filler, RELEASE)

    def wake(self) -> None:
        if self._filler >= 0:
            os.close(self._filler)
            self._filler = -1
        self.read()

    def read(self) -> None:
        if self._end < 0 or self._filler >= 0:
            return
        with suppress(BlockingIOError):
            while reports := os.read(self._end, 65_536):
                self.host.feed(reports)

    @property
    def screen(self) -> str:
        return self.host.screen

    def close(self) -> None:
        for end in (self._end, self._filler):
            if end >= 0:
                os.close(end)


class MortalPort(HidGadget):
    """The keyboard's port, at which a kill may come."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(path)
        self._world = world

    def write(self, report: bytes) -> None:
        self._world.may_die()
        super().write(report)
        self._world.may_die()


@dataclass
class Kept:
    """The keyboard as a sink, without a thread: the world steps it."""

    keyboard: Keyboard
    world: World
    name: str = Keyboard.name
    marks: bool = True

    def deliver(self, entry: JournalEntry) -> None:
        self.world.may_die()
        self.keyboard.deliver(entry)
        self.world.may_die()

    def close(self) -> None:
        self.world.pass_time(5.0, until=lambda: self.keyboard.idle)
        self.keyboard.close()
        self.keyboard.finish()
        self.world.computer.read()


class Quiet:
    """No governor."""

    def raise_(self) -> None:
        pass

    def restore(self) -> None:
        pass


@dataclass
class Session:
    """What one start of the appliance has."""

    settings: Config
    journal: Journal
    port: MortalPort
    keyboard: Keyboard
    sinks: Fanout
    monitor: Monitor
    appliance: Appliance
    complaints: tuple[str, ...]
    known: tuple[UserWord, ...]


class World:
    """An appliance, its user's hands, and everything that is plugged into it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.now, self.jump = 1_000.0, 0.0
        self.computer = Computer(folder / "hidg0")
        self.coral = FaultyCoral()
        self.broken = self.own_word = self.behind = False
        self.shown: frozenset[leds.LedState] = frozenset()
        self.seen: set[leds.LedState] = set()
        """Every state that was shown since somebody last looked."""
        self.found: list[str] = []
        """Every word that the recogniser gave, in order."""
        self.written: set[str] = set()
        """Every word as the formatter wrote it, with its capital or without."""
        self.acknowledged: set[str] = set()
        """Those for which the journal's append has returned."""
        self.doomed = -1
        """At how many more places a kill may come before it does; below 0 none does."""
        self.channels, self.rate = 1, 16_000
        self.shape: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda samples: samples[:, None]
        self.microphone = True
        self.overruns = self.first = 0
        self.batteries: list[Battery] = []
        self.starts: Counter[str] = Counter()
        self.kept: dict[str, DeliveryState] = {}
        """What a journal that was in memory only had of each word."""
        self.words_file = folder / "words.tsv"
        self.words_file.write_text(f"{WRITTEN}\n")
        self.config_file = folder / "dictation.toml"
        self.configure()
        self._writer, self._last_end = TextFormatter(), float("-inf")
        self._converter = Converter(16_000)
        self.session = self._open()

    # --- starting and ending

    def configure(self, more: str = "") -> None:
        self.config_file.write_text(
            f"""
[sinks.keyboard]
path = "{self.folder}/hidg0"
rate = 500
host_timeout_s = 2
[sinks.journal]
dir = "{self.folder}/journal"
max_mb = 0.05
keep = 1000
[power]
dir = "{self.folder}/power"
[panel]
mode = "hold"
[vocabulary]
file = "{self.words_file}"
{more}
"""
        )

    def _open(self) -> Session:
        """As device.app.session does, less its threads."""
        loaded, complaints = skip_invalid.load(self.config_file, environ={})
        settings = loaded.config
        self.microphone_settings(1, 16_000)
        journal = open_journal(settings.sinks.journal, self.wall, "boot")
        port = MortalPort(settings.sinks.keyboard.path, self)

        def mark(number: int, state: DeliveryState) -> None:
            self.may_die()
            journal.mark(number, state)
            self.may_die()

        keyboard = Keyboard(
            port,
            layouts.strokes(layouts.LAYOUTS[settings.sinks.keyboard.layout]),
            rate=settings.sinks.keyboard.rate,
            queue=settings.sinks.keyboard.queue,
            host_timeout_s=settings.sinks.keyboard.host_timeout_s,
            clock=lambda: self.now,
            mark=mark,
            on_status=lambda message: self.happen(OutputStatus("keyboard", message)),
        )
        self._inbox: list[Input] = []
        sinks = Fanout(journal, [Kept(keyboard, self)], lambda *told: self.happen(OutputStatus(*told)))
        sinks.resume(settings.sinks.keyboard.host_timeout_s)
        meter = LastingMeter(settings.power.meter, self.folder / "sys")
        monitor = Monitor(
            settings.power,
            meter,
            self._battery,
            lambda: Gauges(50.0, 1500.0, 0.5, 0),
            lambda: self.now,
            self.wall,
        )
        self._watched = Watched(settings.vocabulary.file)
        known = self._read_words(())
        self._writer.rules = rules_from(settings.text, spellings(known))

        def put(edits: Sequence[Any]) -> object:
            before = len(self.found)
            self.written |= {found for edit in edits if isinstance(edit, Insert) for found in as_written(edit.text)}
            self.may_die()
            entry = sinks.deliver(edits)
            if entry is not None:
                self.acknowledged |= set(words_in(entry.text))
            assert len(self.found) == before
            return entry

        def load_recognizer() -> LoadedRecognizer:
            if self.broken:
                raise UserError("no bundle; convert one")
            tones = Tones(self)
            return LoadedRecognizer(
                tones, lambda: (tones.accelerator.problem or "") if tones.accelerator.name == "cpu" else ""
            )

        parts = Dependencies(
            load_recognizer=load_recognizer,
            formatter=self._writer,
            deliver=put,
            gestures=gestures_from(settings.panel),
            preroll=PreRoll(settings.audio.preroll_ms),
            governor=Quiet(),
            set_leds=self._show,
            record_usage=lambda usage: None,
            warning="; ".join(complaints),
        )
        appliance = Appliance(parts, lambda: self.now, self._last_end)
        session = Session(settings, journal, port, keyboard, sinks, monitor, appliance, complaints, known)
        self.session = session
        appliance.start()
        return session

    def terminate(self, outcome: Outcome = Outcome.STOP) -> None:
        """SIGTERM, or SIGHUP and a reload; and the next start."""
        session = self.session
        session.appliance.handle(StopRequested(outcome))
        self.pass_time(10.0, until=lambda: session.appliance.outcome is not None)
        assert session.appliance.outcome is outcome
        session.sinks.close()
        session.monitor._log_sample(None)
        session.appliance.close()
        self._remember(session)
        if outcome is Outcome.RELOAD:
            self._last_end = session.appliance.last_end
        else:
            self._writer, self._last_end = TextFormatter(), float("-inf")
        self.starts[outcome.value] += 1
        self._open()

    def abandon(self) -> None:
        """kill -9: the kernel closes what was open, and nothing else happens; then the next start."""
        session, self.doomed = self.session, -1
        files = session.journal._files
        if files is not None:
            os.close(files._lock)
            os.close(files._fd)
        if session.port._fd >= 0:
            os.close(session.port._fd)
        self._remember(session)
        self.computer.read()
        self._writer, self._last_end = TextFormatter(), float("-inf")
        self.starts["killed"] += 1
        self.now += 1.0
        self._open()

    def _remember(self, session: Session) -> None:
        if session.journal._files is None:
            for entry in session.journal.entries():
                self.kept |= dict.fromkeys(words_in(entry.text), entry.state)

    def may_die(self) -> None:
        if self.doomed >= 0:
            self.doomed -= 1
            if self.doomed < 0:
                raise Killed

    # --- time

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now + self.jump

    def happen(self, what: Input) -> None:
        self._inbox.append(what)

    def _battery(self, battery: Battery) -> None:
        self.batteries.append(battery)
        self.happen(battery)

    def _show(self, states: frozenset[leds.LedState]) -> None:
        self.shown = states
        self.seen |= states

    def hear(self, block: NDArray[np.float32] | None = None) -> None:
        """100 ms pass, with this sound at the microphone, [n] at its rate; silence if it is None."""
        end = self.now + BLOCK_S
        while self.now < end - 1e-9:
            delay = self.session.keyboard.step()
            self.computer.read()
            self.now = end if delay is None else min(end, self.now + max(delay, 0.001))
        if self.microphone:
            samples = np.zeros(round(self.rate * BLOCK_S), np.float32) if block is None else block
            if self.channels == 1 and self.rate == 16_000 and block is None:
                chunks = [np.zeros(1_600, np.int16)]
            else:
                chunks = list(self._converter.feed(np.ascontiguousarray(self.shape(samples), np.float32)))
            for chunk in chunks:
                self.session.appliance.handle(Chunk(chunk, self.first, self.overruns))
                self.first += len(chunk)
        self._take_news()
        self.session.appliance.tick()
        if round(self.now * 10) % 10 == 0:
            self.session.monitor._log_sample(self.session.monitor.sample(Usage("ready")))
        if round(self.now * 10) % 20 == 0:
            self._look_at_words()
        self._take_news()
        assert self.session.appliance.outcome is not Outcome.SWITCH_OFF, "switched off"

    def _take_news(self) -> None:
        while self._inbox:
            self.session.appliance.handle(self._inbox.pop(0))

    def _look_at_words(self) -> None:
        if self.session.appliance.phase not in (Phase.READY, Phase.FAULT):
            return
        if (words := self._read_words(self.session.known)) != self.session.known:
            self.session.known = words
            self.session.appliance.reload_vocabulary(rules_from(self.session.settings.text, spellings(words)))

    def _read_words(self, known: tuple[UserWord, ...]) -> tuple[UserWord, ...]:
        try:
            return self._watched.read().words
        except (OSError, UserError):
            return known

    def pass_time(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = self.now + seconds
        while self.now < end and not until():
            self.hear()

    # --- the user

    def microphone_settings(
        self,
        channels: int,
        rate: int,
        shape: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda samples: samples[:, None],
    ) -> None:
        """What the sound card is from now on; `shape` makes [n, channels] of [n]."""
        self.channels, self.rate, self.shape = channels, rate, shape
        self._converter = Converter(rate, 1_600, channels)

    def lose_microphone(self) -> None:
        self.microphone = False
        self.happen(MicrophoneStatus("no sound; plug it in again"))

    def find_microphone(self) -> None:
        self.microphone = True
        self.microphone_settings(self.channels, self.rate, self.shape)
        self.happen(MicrophoneStatus(""))

    def edge(self, pressed: bool) -> None:
        self.session.appliance.handle(Edge(self.now, pressed))

    def say(self, said: str) -> None:
        whole = sound(said, self.rate)
        size = round(self.rate * BLOCK_S)
        for at in range(0, len(whole), size):
            self.hear(whole[at : at + size])

    def dictate(self, *said: str) -> None:
        """Press, speak, let go, and wait until the appliance is ready again."""
        self.hear()
        self.edge(True)
        self.pass_time(0.2)
        for each in said:
            self.say(each)
            self.pass_time(0.3)
        self.edge(False)
        self.pass_time(3.0, until=lambda: self.session.appliance.phase in (Phase.READY, Phase.FAULT))
        self.pass_time(0.1)

    def reload(self) -> str:
        """SIGHUP: takes the configuration, or says what is wrong with it and goes on."""
        try:
            loader.load(self.config_file, environ={})
        except ConfigError as error:
            return str(error)
        self.terminate(Outcome.RELOAD)
        return ""

    def full_disk(self, room: int) -> Callable[[], None]:
        """No file may grow beyond the journal's newest and `room` bytes more; returns what makes room again."""
        newest = max((self.folder / "journal").glob("*.jsonl"), default=None)
        size = newest.stat().st_size if newest else 0
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        begins_another = size + 2_000 > self.session.settings.sinks.journal.max_mb * 1e6
        resource.setrlimit(resource.RLIMIT_FSIZE, (room if begins_another else size + room, before[1]))
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)

    # --- what is to be seen in the end

    def states(self) -> dict[str, DeliveryState]:
        """What the journals have of each word: that on the disk, and those that were in memory only."""
        found = dict(self.kept)
        for entry in entries_in(self.folder / "journal"):
            found |= dict.fromkeys(words_in(entry.text), entry.state)
        return found

    def damaged_lines(self) -> list[bytes]:
        """Lines on the disk that are not as they were written."""
        files = sorted((self.folder / "journal").glob("*.jsonl"))
        return [line for file in files for line in file.read_bytes().splitlines(keepends=True) if decode(line) is None]

    def close(self) -> None:
        self.session.sinks.close()
        self.computer.close()


def words_in(text: str) -> list[str]:
    """The words of a text, also those that stand side by side since a new start knows no space."""
    return [found.lower() for found in as_written(text)]


def as_written(text: str) -> list[str]:
    """The same with their capitals; the user's own word is left out."""
    return re.findall(r"[Qq][^Qq\s]*", text.replace(WRITTEN, " "))
