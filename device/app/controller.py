"""The appliance: starting → ready → listening → finalizing → ready, and fault at any point.

One thread calls `handle` with what happens and `tick` when time passes; everything that needs a thread, a clock
or hardware was given to it. So a hang of any part is a hang of this loop, which the watchdog sees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from device.app.ports import (
    ControlRequest,
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
from device.asr.results import Event, Final, Partial, Segment
from device.asr.streaming import StreamingRecognizer
from device.audio.chunk import SAMPLE_RATE, Chunk
from device.panel.gestures import Gesture
from device.panel.leds import LedState
from device.power.monitor import Battery, Usage
from device.text.formatter import Rules

log = logging.getLogger(__name__)

TAIL_S = 0.3
"""After the button is let go, the sound up to that moment is still under way; wait this long for it."""

OVERRUNS_S = 60.0
"""Between two lines about lost sound."""

RETRY_S = 10.0
"""Pause between tries to load a recogniser that failed."""


class Appliance:
    """The state machine. All times are of one monotonic clock; see `device.app.session` for the parts it really has."""

    def __init__(self, dependencies: Dependencies, clock: Callable[[], float], last_end: float = float("-inf")) -> None:
        """`last_end` is when the last dictation ended, if the parts' writer has written before."""
        self._dependencies, self._clock = dependencies, clock
        self.phase = Phase.STARTING
        self.outcome: Outcome | None = None
        self.overruns = 0
        self.dictations = 0
        self._recognizer: LoadedRecognizer | None = None
        self._fault = ""
        self._retry_at = 0.0
        self._lost = ""
        self._armed = False
        self._battery = Battery.FINE
        self._output_warnings: dict[str, str] = {}
        self._ending: float | None = None
        self._asked: Outcome | None = None
        self._held = False  # the outcome that is asked for came of holding the button
        self.last_end = last_end
        self._seen_overruns = self._reported_overruns = 0
        self._report_overruns_at = float("-inf")
        self._samples = self._words = 0
        self._dictated_s = self._spoken_s = 0.0
        self._warned: set[str] = set()
        self._set_leds()

    def start(self) -> None:
        """Load the recogniser: starting becomes ready, or fault."""
        self._load_recognizer()
        self._set_leds()

    def close(self) -> None:
        """Let go of the recogniser."""
        loaded, self._recognizer = self._recognizer, None
        if loaded is not None:
            self._try_optional(loaded.close)

    def reload_vocabulary(self, rules: Rules) -> None:
        """Write by new rules and load the recogniser again, since the user's words have changed."""
        self._dependencies.formatter.rules = rules
        if self.phase in (Phase.READY, Phase.FAULT):
            self._load_recognizer()
            self._set_leds()

    def handle(self, happened: Input) -> None:
        """Take what happened, in the order in which it did."""
        match happened:
            case Chunk():
                self._recognize(happened)
            case Edge(time, pressed):
                self._gestures(self._dependencies.gestures.feed(time, pressed))
            case ControlRequest():
                self._gestures([self._meant(happened)])
            case MicrophoneStatus(why):
                self._microphone(why)
            case OutputStatus(sink, message):
                self._output_status(sink, message)
            case Battery():
                self._power(happened)
            case StopRequested(outcome):
                self._asked, self._held = outcome, False
                self._end_if_asked()
        self._set_leds()

    def tick(self) -> None:
        """Let time pass; call it at `deadline`, and as often as wanted."""
        now = self._clock()
        self._gestures(self._dependencies.gestures.tick(now))
        if self._ending is not None and now >= self._ending + TAIL_S:
            self._finish()
        if self.phase is Phase.FAULT and now >= self._retry_at:
            self._load_recognizer()
        self._set_leds()

    @property
    def deadline(self) -> float:
        """When `tick` is due at the latest; infinite when it is not."""
        due = [self._dependencies.gestures.deadline]
        due.append(self._ending + TAIL_S if self._ending is not None else None)
        due.append(self._retry_at if self.phase is Phase.FAULT else None)
        return min((moment for moment in due if moment is not None), default=float("inf"))

    def status(self) -> str:
        """One line for `systemctl status`."""
        wrong = [
            self._fault,
            self._lost,
            *self._output_warnings.values(),
            self._recognizer.on_cpu() if self._recognizer else "",
        ]
        wrong.append(self._dependencies.warning)
        warnings = "; ".join(text for text in wrong if text)
        counts = f"{self.dictations} dictations, {self._words} words, {self.overruns} overruns"
        return f"{self.phase.value}, {counts}" + (f"; {warnings}" if warnings else "")

    def _gestures(self, gestures: Sequence[Gesture]) -> None:
        for gesture in gestures:
            match gesture:
                case Gesture.BEGIN:
                    self._begin()
                case Gesture.END if self.phase is Phase.LISTENING:
                    self._ending = self._clock()
                case Gesture.CANCEL:
                    self._cancel()
                case Gesture.DELETE:
                    self._dependencies.deliver(self._dependencies.formatter.undo_last())
                case Gesture.ARM:
                    self._armed = True
                case Gesture.DISARM:
                    self._armed = False
                case Gesture.SHUTDOWN:
                    self._armed = False
                    if self._asked is None:
                        self._asked, self._held = Outcome.SWITCH_OFF, True
        self._end_if_asked()

    def _meant(self, request: ControlRequest) -> Gesture:
        if request is ControlRequest.TOGGLE:
            return Gesture.END if self.phase is Phase.LISTENING and self._ending is None else Gesture.BEGIN
        return Gesture(request.value)

    def _begin(self) -> None:
        if self._ending is not None:
            self._finish()
        if self.phase is Phase.FAULT:
            self._load_recognizer()
        if self.phase is not Phase.READY or self._lost or self._recognizer is None or self._asked is not None:
            self._dependencies.gestures.stopped()
            return
        self._dependencies.gestures.started()
        self._dependencies.microphone(True)
        self._raise_governor()
        self._dependencies.formatter.begin(self._clock() - self.last_end)
        self.phase, self._dictated_s, self._spoken_s = Phase.LISTENING, 0.0, 0.0
        self._record_usage()
        self._set_leds()
        for chunk in self._dependencies.preroll.take():
            self._recognize(chunk)

    def _cancel(self) -> None:
        if self.phase is Phase.LISTENING and self._recognizer is not None:
            self._listen(_reset)
            self._leave()

    def _recognize(self, chunk: Chunk) -> None:
        self._count_overruns(chunk)
        if self.phase is not Phase.LISTENING:
            self._dependencies.preroll.push(chunk)
            return
        self._samples += len(chunk.samples)
        self._dictated_s += len(chunk.samples) / SAMPLE_RATE
        self._listen(lambda recognizer: recognizer.accept_waveform(chunk.samples))
        behind = self._recognizer is not None and self._recognizer.recognizer.pending
        if not behind and self._dictated_s - self._spoken_s >= self._dependencies.silence_s:
            self._ending = self._clock()
            self._dependencies.gestures.stopped()
        if self._ending is not None:
            self._finish()

    def _finish(self) -> None:
        """The utterance is over: find the last words, write them, be ready."""
        released = self._ending if self._ending is not None else self._clock()
        self._ending = None
        if self.phase is not Phase.LISTENING:
            return
        self.phase = Phase.FINALIZING
        self._record_usage()
        self._set_leds()
        words = self._words
        self._listen(lambda recognizer: recognizer.finish())
        if self.phase is Phase.FINALIZING:
            self.dictations += 1
            log.info(
                "dictated %.1f s, %d last words %.2f s after the button, %d overruns so far",
                self._dictated_s,
                self._words - words,
                self._clock() - released,
                self.overruns,
            )
        self._leave()

    def _leave(self) -> None:
        """Listening is over, well or not."""
        self._ending = None
        if self.phase is not Phase.FAULT:
            self.phase = Phase.READY
        self.last_end = self._clock()
        self._dependencies.microphone(False)
        self._try_optional(self._dependencies.governor.restore)
        self._record_usage()
        if self._dependencies.once and self._asked is None:
            self._asked = Outcome.STOP
        self._end_if_asked()

    def _listen(self, work: Callable[[StreamingRecognizer], Sequence[Event]]) -> None:
        if self._recognizer is None:
            return
        try:
            for event in work(self._recognizer.recognizer):
                self._take(event)
        except Exception as error:  # whatever it is: the text so far is safe, and the recogniser can be reloaded
            log.exception("the recogniser failed")
            self._failed(error)
            self._leave()

    def _take(self, event: Event) -> None:
        self._dependencies.recognised(event)
        match event:
            case Segment(text=text, pauses=pauses, end=end, punctuated=punctuated):
                self._spoken_s = max(self._spoken_s, end)
                self._words += len(text.split())
                self._dependencies.deliver(self._dependencies.formatter.segment(text, pauses, punctuated))
                self._heard_words()
            case Partial(stable, tail, end) if stable or tail:
                self._spoken_s = max(self._spoken_s, end)
                self._dependencies.partial(event)
                self._heard_words()
            case Partial() | Final():
                pass

    def _heard_words(self) -> None:
        """The press is a talk, whatever its length; where it was taken for more because words came late, it is not."""
        if self._held:
            self._asked, self._held = None, False
            log.info("not switching off: words were spoken while the button was held")
        self._gestures(self._dependencies.gestures.speech_detected())

    def _load_recognizer(self) -> None:
        self.close()
        try:
            self._recognizer = self._dependencies.load_recognizer()
        except Exception as error:  # the appliance stays up, shows the fault and tries again
            self._failed(error)
            return
        self._fault, self.phase = "", Phase.READY
        self._record_usage()

    def _failed(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self._fault:
            log.error("%s", text)
        self._fault = text
        self.close()
        self.phase, self._retry_at = Phase.FAULT, self._clock() + RETRY_S
        self._dependencies.gestures.stopped()
        self._record_usage()

    def _microphone(self, why: str) -> None:
        if why:
            log.warning("%s", why)
        elif self._lost:
            log.info("the microphone is back")
        self._lost = why
        if why and self.phase is Phase.LISTENING:
            self._dependencies.gestures.stopped()
            self._finish()

    def _output_status(self, sink: str, message: str | None) -> None:
        if message is None:
            self._output_warnings.pop(sink, None)
            log.info("%s works again", sink)
        else:
            self._output_warnings[sink] = message
            log.warning("%s: %s", sink, message)

    def _power(self, battery: Battery) -> None:
        self._battery = battery
        if battery is Battery.LOW:
            log.warning("the battery is low; charge it")
        elif battery is Battery.EMPTY:
            log.warning("the battery is empty; switching off")
            self._asked, self._held = Outcome.SWITCH_OFF, False
            self._end_if_asked()

    def _end_if_asked(self) -> None:
        if self._asked is None:
            return
        if self.phase is Phase.LISTENING and self._ending is None:
            self._ending = self._clock()
            self._dependencies.gestures.stopped()
        elif self.phase not in (Phase.LISTENING, Phase.FINALIZING) and self.outcome is not self._asked:
            if self._held:
                log.info("switching off: the button was held")
            self.outcome = self._asked

    def _count_overruns(self, chunk: Chunk) -> None:
        """Count lost sound; a device that loses it all the time is told of once a minute."""
        self.overruns += max(0, chunk.overruns - self._seen_overruns)
        self._seen_overruns = chunk.overruns
        lost, now = self.overruns - self._reported_overruns, self._clock()
        if lost and now >= self._report_overruns_at:
            log.warning("sound was lost %d times (%d in all); is the machine too busy?", lost, self.overruns)
            self._reported_overruns, self._report_overruns_at = self.overruns, now + OVERRUNS_S

    def _raise_governor(self) -> None:
        self._try_optional(self._dependencies.governor.raise_)

    def _try_optional(self, work: Callable[[], None]) -> None:
        """Do what is not needed to work; say once why it cannot be done."""
        try:
            work()
        except Exception as error:
            if str(error) not in self._warned:
                self._warned.add(str(error))
                log.warning("%s", error)

    def _record_usage(self) -> None:
        self._dependencies.record_usage(Usage(self.phase.value, self._samples / SAMPLE_RATE, self._words))

    def _set_leds(self) -> None:
        self._dependencies.set_leds(frozenset(self._states()))

    def _states(self) -> set[LedState]:
        activity = {
            Phase.STARTING: LedState.STARTING,
            Phase.READY: LedState.READY,
            Phase.LISTENING: LedState.LISTENING,
            Phase.FINALIZING: LedState.FINALIZING,
            Phase.FAULT: LedState.FAULT,
        }
        conditions = {
            LedState.RELEASE_TO_SWITCH_OFF: self._armed,
            LedState.MICROPHONE_MISSING: bool(self._lost),
            LedState.ON_CPU: bool(self._recognizer is not None and self._recognizer.on_cpu()),
            LedState.CONFIGURATION: bool(self._dependencies.warning),
            LedState.CANNOT_TYPE: any(sink != "journal" for sink in self._output_warnings),
            LedState.FAULT: "journal" in self._output_warnings,
            LedState.BATTERY_LOW: self._battery is not Battery.FINE,
        }
        return {activity[self.phase]} | {state for state, holds in conditions.items() if holds}


def _reset(recognizer: StreamingRecognizer) -> Sequence[Event]:
    recognizer.reset()
    return ()
