"""The appliance: starting → ready → listening → thinking → ready, and fault at any point.

One thread calls `handle` with what happens and `tick` when time passes; everything that needs a thread, a clock
or hardware was given to it. So a hang of any part is a hang of this loop, which the watchdog sees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from device.app.ports import Ears, Edge, End, Input, Listener, Lost, Outcome, Parts, Phase, Trouble
from device.asr.results import Event, Final, Partial, Segment
from device.audio.chunk import SAMPLE_RATE, Chunk
from device.panel.gestures import Gesture
from device.panel.leds import State
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

    def __init__(self, parts: Parts, clock: Callable[[], float], last_end: float = float("-inf")) -> None:
        """`last_end` is when the last dictation ended, if the parts' writer has written before."""
        self._parts, self._clock = parts, clock
        self.phase = Phase.STARTING
        self.outcome: Outcome | None = None
        self.overruns = 0
        self.dictations = 0
        self._ears: Ears | None = None
        self._fault = ""
        self._retry_at = 0.0
        self._lost = ""
        self._armed = False
        self._battery = Battery.FINE
        self._troubles: dict[str, str] = {}
        self._ending: float | None = None
        self._asked: Outcome | None = None
        self._held = False  # the outcome that is asked for came of holding the button
        self.last_end = last_end
        self._seen_overruns = self._told_overruns = 0
        self._tell_overruns_at = float("-inf")
        self._samples = self._words = 0
        self._heard_s = 0.0
        self._complaints: set[str] = set()
        self._show()

    def start(self) -> None:
        """Load the recogniser: starting becomes ready, or fault."""
        self._open_ears()
        self._show()

    def close(self) -> None:
        """Let go of the recogniser."""
        ears, self._ears = self._ears, None
        if ears is not None:
            self._complain(ears.close)

    def learn(self, rules: Rules) -> None:
        """Write by new rules and load the recogniser again, since the user's words have changed."""
        self._parts.writer.rules = rules
        if self.phase in (Phase.READY, Phase.FAULT):
            self._open_ears()
            self._show()

    def handle(self, happened: Input) -> None:
        """Take what happened, in the order in which it did."""
        match happened:
            case Chunk():
                self._hear(happened)
            case Edge(time, pressed):
                self._gestures(self._parts.gestures.feed(time, pressed))
            case Lost(why):
                self._microphone(why)
            case Trouble(sink, message):
                self._trouble(sink, message)
            case Battery():
                self._power(happened)
            case End(outcome):
                self._asked, self._held = outcome, False
                self._end_if_asked()
        self._show()

    def tick(self) -> None:
        """Let time pass; call it at `deadline`, and as often as wanted."""
        now = self._clock()
        self._gestures(self._parts.gestures.tick(now))
        if self._ending is not None and now >= self._ending + TAIL_S:
            self._finish()
        if self.phase is Phase.FAULT and now >= self._retry_at:
            self._open_ears()
        self._show()

    @property
    def deadline(self) -> float:
        """When `tick` is due at the latest; infinite when it is not."""
        due = [self._parts.gestures.deadline]
        due.append(self._ending + TAIL_S if self._ending is not None else None)
        due.append(self._retry_at if self.phase is Phase.FAULT else None)
        return min((moment for moment in due if moment is not None), default=float("inf"))

    def status(self) -> str:
        """One line for `systemctl status`."""
        wrong = [self._fault, self._lost, *self._troubles.values(), self._ears.on_cpu() if self._ears else ""]
        wrong.append(self._parts.complaint)
        told = "; ".join(text for text in wrong if text)
        counts = f"{self.dictations} dictations, {self._words} words, {self.overruns} overruns"
        return f"{self.phase.value}, {counts}" + (f"; {told}" if told else "")

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
                    self._parts.put(self._parts.writer.take_back())
                case Gesture.ARM:
                    self._armed = True
                case Gesture.DISARM:
                    self._armed = False
                case Gesture.SHUTDOWN:
                    self._armed = False
                    if self._asked is None:
                        self._asked, self._held = Outcome.SWITCH_OFF, True
        self._end_if_asked()

    def _begin(self) -> None:
        if self._ending is not None:
            self._finish()
        if self.phase is Phase.FAULT:
            self._open_ears()
        if self.phase is not Phase.READY or self._lost or self._ears is None or self._asked is not None:
            self._parts.gestures.stopped()
            return
        self._parts.gestures.started()
        self._parts.microphone(True)
        self._boost()
        self._parts.writer.begin(self._clock() - self.last_end)
        self.phase, self._heard_s = Phase.LISTENING, 0.0
        self._note()
        self._show()
        for chunk in self._parts.preroll.take():
            self._hear(chunk)

    def _cancel(self) -> None:
        if self.phase is Phase.LISTENING and self._ears is not None:
            self._listen(_forget)
            self._leave()

    def _hear(self, chunk: Chunk) -> None:
        self._count_overruns(chunk)
        if self.phase is not Phase.LISTENING:
            self._parts.preroll.push(chunk)
            return
        self._samples += len(chunk.samples)
        self._heard_s += len(chunk.samples) / SAMPLE_RATE
        self._listen(lambda listener: listener.accept(chunk.samples))
        if self._ending is not None:
            self._finish()

    def _finish(self) -> None:
        """The utterance is over: find the last words, write them, be ready."""
        released = self._ending if self._ending is not None else self._clock()
        self._ending = None
        if self.phase is not Phase.LISTENING:
            return
        self.phase = Phase.THINKING
        self._note()
        self._show()
        words = self._words
        self._listen(lambda listener: listener.finish())
        if self.phase is Phase.THINKING:
            self.dictations += 1
            log.info(
                "dictated %.1f s, %d last words %.2f s after the button, %d overruns so far",
                self._heard_s,
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
        self._parts.microphone(False)
        self._complain(self._parts.boost.restore)
        self._note()
        self._end_if_asked()

    def _listen(self, work: Callable[[Listener], Sequence[Event]]) -> None:
        if self._ears is None:
            return
        try:
            for event in work(self._ears.listener):
                self._take(event)
        except Exception as error:  # whatever it is: the text so far is safe, and the recogniser can be reloaded
            log.exception("the recogniser failed")
            self._failed(error)
            self._leave()

    def _take(self, event: Event) -> None:
        match event:
            case Segment(text=text, pauses=pauses):
                self._words += len(text.split())
                self._parts.put(self._parts.writer.segment(text, pauses))
                self._heard_words()
            case Partial(stable, tail) if stable or tail:
                self._heard_words()
            case Partial() | Final():
                pass

    def _heard_words(self) -> None:
        """The press is a talk, whatever its length; where it was taken for more because words came late, it is not."""
        if self._held:
            self._asked, self._held = None, False
            log.info("not switching off: words were spoken while the button was held")
        self._gestures(self._parts.gestures.heard())

    def _open_ears(self) -> None:
        self.close()
        try:
            self._ears = self._parts.open_ears()
        except Exception as error:  # the appliance stays up, shows the fault and tries again
            self._failed(error)
            return
        self._fault, self.phase = "", Phase.READY
        self._note()

    def _failed(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self._fault:
            log.error("%s", text)
        self._fault = text
        self.close()
        self.phase, self._retry_at = Phase.FAULT, self._clock() + RETRY_S
        self._parts.gestures.stopped()
        self._note()

    def _microphone(self, why: str) -> None:
        if why:
            log.warning("%s", why)
        elif self._lost:
            log.info("the microphone is back")
        self._lost = why
        if why and self.phase is Phase.LISTENING:
            self._parts.gestures.stopped()
            self._finish()

    def _trouble(self, sink: str, message: str | None) -> None:
        if message is None:
            self._troubles.pop(sink, None)
            log.info("%s works again", sink)
        else:
            self._troubles[sink] = message
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
            self._parts.gestures.stopped()
        elif self.phase not in (Phase.LISTENING, Phase.THINKING) and self.outcome is not self._asked:
            if self._held:
                log.info("switching off: the button was held")
            self.outcome = self._asked

    def _count_overruns(self, chunk: Chunk) -> None:
        """Count lost sound; a device that loses it all the time is told of once a minute."""
        self.overruns += max(0, chunk.overruns - self._seen_overruns)
        self._seen_overruns = chunk.overruns
        lost, now = self.overruns - self._told_overruns, self._clock()
        if lost and now >= self._tell_overruns_at:
            log.warning("sound was lost %d times (%d in all); is the machine too busy?", lost, self.overruns)
            self._told_overruns, self._tell_overruns_at = self.overruns, now + OVERRUNS_S

    def _boost(self) -> None:
        self._complain(self._parts.boost.raise_)

    def _complain(self, work: Callable[[], None]) -> None:
        """Do what is not needed to work; say once why it cannot be done."""
        try:
            work()
        except Exception as error:
            if str(error) not in self._complaints:
                self._complaints.add(str(error))
                log.warning("%s", error)

    def _note(self) -> None:
        self._parts.note(Usage(self.phase.value, self._samples / SAMPLE_RATE, self._words))

    def _show(self) -> None:
        self._parts.show(frozenset(self._states()))

    def _states(self) -> set[State]:
        activity = {
            Phase.STARTING: State.STARTING,
            Phase.READY: State.READY,
            Phase.LISTENING: State.LISTENING,
            Phase.THINKING: State.THINKING,
            Phase.FAULT: State.FAULT,
        }
        conditions = {
            State.RELEASE_TO_SWITCH_OFF: self._armed,
            State.MICROPHONE_MISSING: bool(self._lost),
            State.ON_CPU: bool(self._ears is not None and self._ears.on_cpu()),
            State.CONFIGURATION: bool(self._parts.complaint),
            State.CANNOT_TYPE: any(sink != "journal" for sink in self._troubles),
            State.FAULT: "journal" in self._troubles,
            State.BATTERY_LOW: self._battery is not Battery.FINE,
        }
        return {activity[self.phase]} | {state for state, holds in conditions.items() if holds}


def _forget(listener: Listener) -> Sequence[Event]:
    listener.reset()
    return ()
