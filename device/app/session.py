"""One run of the appliance with one configuration and its real parts.

The main thread is the state machine with the recogniser. Beside it there are threads for capture, LEDs, power
and typing; all of them speak to it through one queue.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from gpiozero.pins import Factory

from device.app.broadcast import Broadcast
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
from device.app.signals import Reload
from device.asr.results import Partial
from device.audio import capture
from device.audio.chunk import SAMPLE_RATE, Chunk, PreRoll
from device.audio.decode import AudioError
from device.audio.file import WaveFile
from device.config import schema
from device.config.loader import ConfigError, Loaded
from device.config.schema import AudioSettings, Config
from device.output.background import BackgroundOutput
from device.output.dispatcher import open_sinks
from device.output.feed import open_feed
from device.output.journal import open_journal
from device.output.sink import Sink
from device.panel.gpio import Panel, gestures_from, pin_factory
from device.panel.leds import LedState
from device.power.lasting_meter import LastingMeter
from device.power.monitor import Monitor, Usage
from device.system import scheduling
from device.system.sd_notify import Notifier, Watchdog
from device.text.formatter import TextFormatter, rules_from
from device.vocabulary.user_words import UserWord, Watched, spellings
from models.errors import UserError

log = logging.getLogger(__name__)

CAPTURE_HANG_S = 4.0
"""Without a sign of life from capture for this long, beyond its own retries, the watchdog is not pinged."""

OUTPUT_HANG_S = 20.0
"""With a segment at the disk for longer than this, the watchdog is not pinged; cards that tidy up take seconds."""

WORDS_S = 2.0
"""How often the files with the user's words and the page's settings are looked at."""

TRIAL = "DICTATE_TRIAL"
"""Set where a release is on trial (provisioning/rootfs-overlay/all/usr/bin/dictate)."""

CATCH_UP = 2 * SAMPLE_RATE
"""Samples that are heard at once where the recogniser is behind."""

LOADING_S = 90.0
"""The watchdog period while a recogniser is loaded."""

LoadRecognizer = Callable[[Config, tuple[UserWord, ...]], LoadedRecognizer]
"""Loads a recogniser as configured, with the user's words."""


@dataclass(frozen=True, slots=True)
class Desktop:
    """What takes the place of panel, battery and keyboard where a person sits at the machine that listens."""

    sinks: Callable[[Callable[[str, str | None], None]], Sequence[Sink]]
    """Opens where the text goes beside what is configured; they are given what to tell of trouble."""
    controls: Callable[[Callable[[Input], object]], AbstractContextManager[object]]
    """Opens what asks to begin and to end, and is given where to put it."""
    set_leds: Callable[[frozenset[LedState]], None]
    partial: Callable[[Partial], None]
    silence_s: float = float("inf")
    """A dictation ends after so much sound without a word."""
    once: bool = False
    """Whether to end with the first dictation."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a session needs of the world."""

    load_recognizer: LoadRecognizer
    pins: Callable[[schema.PanelSettings], Factory] = pin_factory
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    warnings: Callable[[], tuple[str, ...]] = tuple
    """What was not taken of the configuration or of an update, a line each."""
    desktop: Desktop | None = None
    """Where there is one, there are no pins, and no battery is watched."""


@dataclass(slots=True)
class SessionState:
    """What a reload must not forget: where the text stands, and since when."""

    formatter: TextFormatter = field(default_factory=TextFormatter)
    last_end: float = float("-inf")


class Session:
    """The appliance with one configuration."""

    def __init__(
        self,
        settings: Config,
        environment: Environment,
        notifier: Notifier,
        inbox: SimpleQueue[Input | Reload],
        read_again: Callable[[], Loaded],
        state: SessionState,
    ) -> None:
        self._state = state
        self._config, self._environment, self._notifier = settings, environment, notifier
        self._inbox, self._read_again = inbox, read_again
        self._watchdog = Watchdog(environment.environ, notifier.alive)
        self._words = Watched(settings.vocabulary.file)
        self._page = _version(settings.web.settings)
        self._broadcast = Broadcast(None)
        self._known: tuple[UserWord, ...] = ()
        self._faults: tuple[str, ...] = ()  # of the file with the user's words
        self._wanted: Config | None = None
        self._check_at = 0.0
        self._warned = ""
        self._held: list[Input | Reload] = []  # one at most: it came after sound that was put together

    def run(self) -> tuple[Outcome, Config | None]:
        """Open the parts, dictate until the end, close them. Returns why it ended and what to go on with."""
        settings = self._config
        with ExitStack() as stack:
            self._broadcast = self._feed(stack)
            set_leds = self._broadcast.showing(self._panel(stack))
            set_leds(frozenset({LedState.STARTING}))
            journal = open_journal(settings.sinks.journal, time.time)
            desktop = self._environment.desktop

            def output_status(sink: str, message: str | None) -> None:
                self._inbox.put(OutputStatus(sink, message))

            more = (*(desktop.sinks(output_status) if desktop else ()), *self._broadcast.sinks())
            fanout = open_sinks(settings.sinks, journal, sys.stdout, time.monotonic, output_status, more)
            sinks = BackgroundOutput(fanout, time.monotonic)
            stack.callback(sinks.close)
            sinks.resume(settings.sinks.keyboard.host_timeout_s)
            note = self._monitor(stack)
            governor = scheduling.governor_from(settings.realtime)
            self._try_optional(governor.restore)
            stack.callback(self._try_optional, governor.restore)
            sound = self._capture(stack)
            warnings = self._environment.warnings()
            for line in warnings:
                log.error("%s", line)
            self._known = self._read_words()
            self._state.formatter.rules = rules_from(settings.text, spellings(self._known))
            dependencies = Dependencies(
                load_recognizer=self._load_recognizer,
                formatter=self._state.formatter,
                deliver=sinks.deliver,
                gestures=gestures_from(settings.panel),
                preroll=PreRoll(settings.audio.preroll_ms),
                governor=governor,
                set_leds=set_leds,
                record_usage=note,
                microphone=sound.want,
                warning="; ".join(warnings),
                recognised=self._broadcast.recognised,
            )
            if desktop:
                dependencies = replace(
                    dependencies, partial=desktop.partial, silence_s=desktop.silence_s, once=desktop.once
                )
            appliance = Appliance(dependencies, time.monotonic, self._state.last_end)
            stack.callback(appliance.close)
            if desktop:
                stack.enter_context(desktop.controls(self._inbox.put))
            outcome = self._loop(appliance, sound, sinks)
            self._state.last_end = appliance.last_end
            return outcome, self._wanted

    def _loop(self, appliance: Appliance, sound: capture.Capture, sinks: BackgroundOutput) -> Outcome:
        appliance.start()
        if appliance.phase is Phase.FAULT and TRIAL in self._environment.environ:
            raise UserError(f"this release is on trial and cannot dictate: {appliance.status()}")
        cpus = self._config.realtime.decoder_cpus if self._config.realtime.enabled else ()
        with scheduling.pinned(cpus) as problem:
            if problem:
                log.warning("%s", problem)
            status = ""
            self._notifier.ready(appliance.status())
            self._broadcast.status(appliance.status())
            while appliance.outcome is None:
                self._step(appliance)
                captures = sound.idle < CAPTURE_HANG_S + self._config.audio.retry_s
                if captures and sinks.stalled_s < OUTPUT_HANG_S:
                    self._watchdog.progress()
                if (now := appliance.status()) != status:
                    status = now
                    self._notifier.status(status)
                    self._broadcast.status(status)
        for happened in self._held:
            self._inbox.put(happened)
        return appliance.outcome

    def _step(self, appliance: Appliance) -> None:
        happened = self._next(min(0.5, max(0.0, appliance.deadline - time.monotonic())))
        if isinstance(happened, Chunk):
            self._broadcast.level(happened)
        if isinstance(happened, Reload):
            self._reload(appliance)
        elif isinstance(happened, Chunk) and appliance.phase is Phase.LISTENING:
            appliance.handle(self._with_what_waits(happened))
        elif happened is not None:
            appliance.handle(happened)
        appliance.tick()
        self._check_vocabulary(appliance)

    def _next(self, wait: float) -> Input | Reload | None:
        """What happened next, None if nothing does within `wait` seconds."""
        if self._held:
            return self._held.pop()
        try:
            return self._inbox.get(timeout=wait)
        except Empty:
            return None

    def _with_what_waits(self, chunk: Chunk) -> Chunk:
        """The sound that waits, in one: a machine that is behind looks ahead less often (device/asr/windowing.py)."""
        while len(chunk.samples) < CATCH_UP:
            after = self._next(0.0)
            if not isinstance(after, Chunk):
                self._held += [after] if after is not None else []
                break
            chunk = chunk.joined(after)
        return chunk

    def _monitor(self, stack: ExitStack) -> Callable[[Usage], None]:
        if self._environment.desktop:
            return lambda usage: None
        settings = self._config.power
        meter = LastingMeter(settings.meter, reverse=settings.reverse_current)
        monitor = Monitor(settings, meter, self._inbox.put, on_sample=self._broadcast.sample)
        stack.callback(monitor.stop)
        monitor.start()
        return monitor.record_usage

    def _feed(self, stack: ExitStack) -> Broadcast:
        settings = self._config.feed
        if not settings.enabled or self._environment.desktop:
            return Broadcast(None)
        feed = open_feed(settings.socket, settings.group, lambda text: log.info("%s", text))
        if feed is not None:
            stack.callback(feed.close)
        return Broadcast(feed)

    def _panel(self, stack: ExitStack) -> Callable[[frozenset[LedState]], None]:
        settings = self._config.panel
        if self._environment.desktop:
            return self._environment.desktop.set_leds
        if not settings.enabled:
            return lambda states: None
        factory = self._environment.pins(settings)
        stack.callback(factory.close)
        panel = stack.enter_context(Panel(settings, factory, lambda now, pressed: self._inbox.put(Edge(now, pressed))))
        return panel.set_leds

    def _capture(self, stack: ExitStack) -> capture.Capture:
        settings = self._config.audio
        priority = self._config.realtime.capture_priority if self._config.realtime.enabled else 0
        if settings.source == "file":
            recording = WaveFile(settings.file, settings.block_ms * 16)
            paced = partial(capture.paced, recording, told=self._warn_once)
            sound = capture.Capture(paced, self._inbox.put, settings.keep_open)
            stack.callback(sound.stop)
        else:
            sound = self._microphone(stack, settings, priority)
        sound.start()
        return sound

    def _microphone(self, stack: ExitStack, settings: AudioSettings, priority: int) -> capture.Capture:
        try:
            from device.audio.microphone import Microphone  # what reads a file needs no PortAudio
            from device.audio.portaudio import StreamStatus
        except ImportError as error:
            raise AudioError(f"PortAudio: {error}; install coral-dictation[device]") from None

        def on_status(status: StreamStatus) -> None:
            if not status.lost:
                log.info("%s", status)
            self._inbox.put(MicrophoneStatus(status.lost))

        def on_thread() -> None:
            if problem := scheduling.fifo(priority):
                log.warning("%s", problem)

        microphone = Microphone(settings, on_status, on_thread, heartbeat=lambda: sound.alive())
        sound = capture.Capture(lambda: microphone, self._inbox.put, settings.keep_open)
        stack.callback(sound.stop)
        stack.callback(microphone.stop)  # comes first: the stack is undone from its end
        return sound

    def _load_recognizer(self) -> LoadedRecognizer:
        """Load the recogniser on the encoder's cores: the threads that it makes stay there."""
        self._notifier.allow(LOADING_S)
        try:
            cpus = self._config.realtime.encoder_cpus if self._config.realtime.enabled else ()
            with scheduling.pinned(cpus) as problem:
                if problem:
                    log.warning("%s", problem)
                begun = time.monotonic()
                loaded = self._environment.load_recognizer(self._config, self._known)
                log.info("recogniser loaded in %.2f s", time.monotonic() - begun)
                return loaded
        finally:
            if self._watchdog.period:
                self._notifier.allow(self._watchdog.period)

    def _check_vocabulary(self, appliance: Appliance) -> None:
        """Every two seconds, between dictations: has the user taught it a word, or changed a setting on the page?"""
        if time.monotonic() < self._check_at or appliance.phase not in (Phase.READY, Phase.FAULT):
            return
        self._check_at = time.monotonic() + WORDS_S
        if (page := _version(self._config.web.settings)) != self._page:
            self._page = page
            log.info("settings were changed on the page")
            self._inbox.put(Reload())
        words = self._read_words()
        if words != self._known:
            self._known = words
            log.info("%d words of your own", len(words))
            appliance.reload_vocabulary(rules_from(self._config.text, spellings(words)))

    def _read_words(self) -> tuple[UserWord, ...]:
        try:
            parsed = self._words.read()
        except OSError as error:
            self._warn_once(f"{self._words.file}: {error.strerror}")
            return self._known
        except UserError as error:
            self._warn_once(str(error))
            return self._known
        for fault in parsed.faults if parsed.faults != self._faults else ():
            log.warning("%s; this line is left out", fault)
        self._faults = parsed.faults
        return parsed.words

    def _reload(self, appliance: Appliance) -> None:
        self._notifier.reloading()
        try:
            self._wanted = self._read_again().config
        except ConfigError as error:
            log.error("%s", error)
            log.error("the old configuration stays in force")
            self._notifier.ready(appliance.status())
            return
        appliance.handle(StopRequested(Outcome.RELOAD))

    def _try_optional(self, work: Callable[[], None]) -> None:
        try:
            work()
        except scheduling.GovernorError as error:
            log.warning("%s", error)

    def _warn_once(self, text: str) -> None:
        if text != self._warned:
            self._warned = text
            log.warning("%s", text)


def _version(file: Path) -> tuple[int, ...]:
    """Differs whenever a file was replaced, made or removed."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size
