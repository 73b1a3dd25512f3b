"""The state machine with a scripted recogniser, a clock that is set by hand, and everything else real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from device.app.controller import RETRY_S, TAIL_S, Appliance
from device.app.ports import (
    ControlRequest,
    Dependencies,
    Edge,
    LoadedRecognizer,
    MicrophoneStatus,
    Outcome,
    OutputStatus,
    Phase,
    StopRequested,
)
from device.asr.results import Event, Final, Partial, Segment
from device.audio.chunk import Chunk, PreRoll
from device.panel.gestures import Gestures
from device.panel.leds import LedState
from device.power.monitor import Battery, Usage
from device.text.edits import Edit, apply
from device.text.formatter import TextFormatter


@dataclass
class Scripted:
    """Stands in for the recogniser: says a word for each second of loud sound, a segment at the end."""

    heard: list[int] = field(default_factory=list)
    shown: str = ""
    fails: bool = False
    behind: bool = False
    """It looks ahead no more: words are found at the end."""
    resets: int = 0
    pending: bool = False
    """A segment is still being decoded."""

    def accept_waveform(self, samples: np.ndarray) -> Sequence[Event]:
        if self.fails:
            raise RuntimeError("the encoder is gone")
        self.heard += samples.tolist()
        before, self.shown = self.shown, self._words()
        news = self.shown not in ("", before) and not self.behind
        return [Partial(self.shown, "", len(self.heard) / 16_000)] if news else []

    def finish(self) -> Sequence[Event]:
        if self.fails:
            raise RuntimeError("the encoder is gone")
        words, end = self._words(), len(self.heard) / 16_000
        self.heard.clear()
        return [*([Segment(words, 0.0, end)] if words else []), Final(end)]

    def reset(self) -> None:
        self.resets += 1
        self.heard.clear()

    def _words(self) -> str:
        return " ".join(["word"] * (np.count_nonzero(self.heard) // 16_000))


@dataclass
class Boost:
    raised: int = 0
    permitted: bool = True

    def raise_(self) -> None:
        if not self.permitted:
            raise PermissionError("governor: not permitted")
        self.raised += 1

    def restore(self) -> None:
        self.raised = 0


class Bench:
    """An appliance on a bench, with its clock and what came out of it."""

    def __init__(self, mode: Any = "hold", preroll_ms: int = 300) -> None:
        self.mode = mode
        self.now = 0.0
        self.first = 0
        self.overruns = 0
        self.script = Scripted()
        self.loads: list[Exception | None] = []
        self.on_cpu = ""
        self.boost = Boost()
        self.screen = ""
        self.shown: list[frozenset[LedState]] = []
        self.usage: list[Usage] = []
        self.microphone: list[bool] = []
        parts = Dependencies(
            load_recognizer=self.load_recognizer,
            formatter=TextFormatter(),
            deliver=self.deliver,
            gestures=Gestures(mode, 0.02, 0.4, 5.0),
            preroll=PreRoll(preroll_ms),
            governor=self.boost,
            set_leds=self.shown.append,
            record_usage=self.usage.append,
            microphone=self.microphone.append,
        )
        self.appliance = Appliance(parts, lambda: self.now)

    def load_recognizer(self) -> LoadedRecognizer:
        problem = self.loads.pop(0) if self.loads else None
        if problem is not None:
            raise problem
        return LoadedRecognizer(self.script, lambda: self.on_cpu)

    def deliver(self, edits: Sequence[Edit]) -> None:
        self.screen = apply(self.screen, edits)

    def edge(self, pressed: bool) -> None:
        self.appliance.handle(Edge(self.now, pressed))
        self.wait(0.03)

    def wait(self, seconds: float) -> None:
        """Let time pass without sound, ticking whenever that is due."""
        end = self.now + seconds
        while self.appliance.deadline < end:
            self.now = max(self.now, self.appliance.deadline)
            self.appliance.tick()
        self.now = end
        self.appliance.tick()

    def sound(self, seconds: float, loud: bool = True) -> None:
        for _ in range(round(seconds * 10)):
            self.wait(0.1)
            samples = np.full(1_600, 1_000 if loud else 0, np.int16)
            self.appliance.handle(Chunk(samples, self.first, self.overruns))
            self.first += 1_600

    def begin(self) -> None:
        """Do with the button what begins a dictation in this mode."""
        self.edge(True)
        if self.mode == "toggle":
            self.edge(False)

    def end(self) -> None:
        """Do with the button what ends it."""
        if self.mode == "toggle":
            self.edge(True)
        self.edge(False)

    def dictate(self, seconds: float = 2.0) -> None:
        self.begin()
        self.sound(seconds)
        self.end()
        self.sound(0.1, loud=False)

    @property
    def states(self) -> frozenset[LedState]:
        return self.shown[-1]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.appliance.start()
    return bench


def test_the_way_of_a_dictation() -> None:
    bench = Bench()
    assert bench.states == {LedState.STARTING}
    bench.appliance.start()
    assert bench.states == {LedState.READY}
    bench.edge(True)
    assert bench.states == {LedState.LISTENING} and bench.boost.raised == 1
    bench.sound(3.0)
    bench.edge(False)
    assert bench.states == {LedState.LISTENING}, "the sound up to the release is still under way"
    bench.sound(0.1, loud=False)
    assert bench.states == {LedState.READY} and bench.boost.raised == 0
    assert frozenset({LedState.FINALIZING}) in bench.shown
    assert bench.screen == "Word word word"
    assert [usage.state for usage in bench.usage] == ["ready", "listening", "finalizing", "ready"]
    assert bench.usage[-1] == Usage("ready", pytest.approx(3.1), 3)


def test_the_first_word_is_whole(bench: Bench) -> None:
    bench.sound(5.0, loud=False)
    bench.sound(0.3)
    bench.edge(True)
    bench.sound(0.7)
    bench.edge(False)
    bench.sound(0.1, loud=False)
    assert bench.screen == "Word", "0.3 s before the press and 0.7 s after it make a second"


def test_the_sound_before_the_pre_roll_is_not_heard(bench: Bench) -> None:
    bench.sound(60.0)
    bench.edge(True)
    assert len(bench.script.heard) == 4_800


def test_the_microphone_falls_silent_at_the_release(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(2.0)
    bench.edge(False)
    bench.wait(TAIL_S + 0.1)
    assert bench.screen == "Word word" and bench.states == {LedState.READY}


def test_a_tap_says_nothing_and_a_double_tap_deletes(bench: Bench) -> None:
    bench.dictate(2.0)
    bench.dictate(1.0)
    assert bench.screen == "Word word word"
    bench.wait(1)
    bench.edge(True)
    bench.edge(False)
    assert bench.screen == "Word word word" and bench.states == {LedState.READY}
    bench.edge(True)
    bench.edge(False)
    assert bench.screen == "Word word"
    assert bench.appliance.dictations == 2


def test_toggle_mode() -> None:
    bench = Bench("toggle")
    bench.appliance.start()
    bench.edge(True)
    bench.edge(False)
    bench.sound(2.0)
    bench.edge(True)
    bench.edge(False)
    bench.sound(0.1, loud=False)
    assert bench.screen == "Word word" and bench.states == {LedState.READY}


def test_holding_in_silence_switches_off(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(5.2, loud=False)
    assert LedState.RELEASE_TO_SWITCH_OFF in bench.states
    assert bench.appliance.outcome is None
    bench.edge(False)
    bench.sound(0.1, loud=False)
    assert bench.appliance.outcome is Outcome.SWITCH_OFF


@pytest.mark.parametrize("seconds", [5.5, 12.0])
def test_words_that_are_found_after_the_release_do_not_switch_off(bench: Bench, seconds: float) -> None:
    """A machine that is behind has found no word yet when the button is let go."""
    bench.script.behind = True
    bench.edge(True)
    bench.sound(seconds)
    assert LedState.RELEASE_TO_SWITCH_OFF in bench.states
    bench.edge(False)
    bench.sound(0.1, loud=False)
    assert bench.appliance.outcome is None and bench.states == {LedState.READY}
    assert bench.screen == "Word" + " word" * (int(seconds) - 1)
    bench.edge(True)
    bench.sound(5.5, loud=False)
    bench.edge(False)
    bench.sound(0.1, loud=False)
    assert bench.appliance.outcome is Outcome.SWITCH_OFF


def test_words_found_late_do_not_keep_an_empty_battery_on(bench: Bench) -> None:
    bench.script.behind = True
    bench.edge(True)
    bench.sound(6.0)
    bench.edge(False)
    bench.appliance.handle(Battery.EMPTY)
    bench.sound(0.1, loud=False)
    assert bench.screen and bench.appliance.outcome is Outcome.SWITCH_OFF


def test_speaking_while_holding_does_not_switch_off(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(5.2, loud=False)
    bench.sound(1.0)
    assert LedState.RELEASE_TO_SWITCH_OFF not in bench.states
    bench.edge(False)
    bench.sound(0.1, loud=False)
    assert bench.appliance.outcome is None and bench.screen == "Word"


def test_a_lost_microphone_ends_the_dictation_with_what_was_said(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(2.0)
    bench.appliance.handle(MicrophoneStatus("no sound; plug it in again"))
    assert bench.screen == "Word word"
    assert bench.states == {LedState.READY, LedState.MICROPHONE_MISSING}
    bench.edge(False)
    bench.dictate()
    assert bench.screen == "Word word", "nothing is heard without a microphone"
    bench.appliance.handle(MicrophoneStatus(""))
    bench.dictate(1.0)
    assert bench.screen == "Word word word" and bench.states == {LedState.READY}


def test_a_recogniser_that_fails_is_loaded_again(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(1.0)
    bench.script.fails = True
    bench.sound(1.0)
    assert bench.states == {LedState.FAULT} and bench.boost.raised == 0
    assert "the encoder is gone" in bench.appliance.status()
    bench.edge(False)
    bench.script = Scripted()
    bench.wait(RETRY_S + 1)
    assert bench.states == {LedState.READY}
    bench.dictate(1.0)
    assert bench.screen == "Word"


def test_a_press_is_a_reason_to_try_again(bench: Bench) -> None:
    bench.script.fails = True
    bench.dictate(1.0)
    bench.script = Scripted()
    bench.dictate(1.0)
    assert bench.screen == "Word"


@pytest.mark.parametrize("mode", ["hold", "toggle"])
def test_a_press_while_the_last_words_fail_begins_a_dictation_that_ends(mode: str) -> None:
    bench = Bench(mode)
    bench.appliance.start()
    bench.begin()
    bench.sound(0.5, loud=False)
    bench.end()
    bench.script.fails = True
    bench.edge(True)
    assert bench.appliance.phase is Phase.LISTENING, "the recogniser was loaded again"
    bench.script.fails = False
    bench.sound(1.0)
    if mode == "toggle":
        bench.edge(False)
    bench.end()
    bench.sound(0.1, loud=False)
    assert bench.screen == "Word" and bench.states == {LedState.READY}
    bench.wait(1)
    bench.dictate(1.0)
    assert bench.screen == "Word word"


def test_a_press_after_the_end_was_asked_for_begins_nothing(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(2.0)
    bench.edge(False)
    bench.appliance.handle(StopRequested(Outcome.STOP))
    bench.edge(True)
    assert bench.screen == "Word word" and bench.appliance.outcome is Outcome.STOP
    assert bench.appliance.phase is Phase.READY and bench.boost.raised == 0


def test_a_bundle_that_is_missing_is_a_fault_until_it_is_there() -> None:
    bench = Bench()
    bench.loads = [FileNotFoundError("no bundle"), FileNotFoundError("no bundle"), None]
    bench.appliance.start()
    assert bench.states == {LedState.FAULT} and "no bundle" in bench.appliance.status()
    bench.wait(2 * RETRY_S + 1)
    assert bench.states == {LedState.READY}


def test_conditions_are_shown_beside_the_activity(bench: Bench) -> None:
    bench.on_cpu = "no Coral"
    bench.appliance.handle(OutputStatus("keyboard", "the computer takes no keys"))
    bench.appliance.handle(Battery.LOW)
    assert bench.states == {LedState.READY, LedState.ON_CPU, LedState.CANNOT_TYPE, LedState.BATTERY_LOW}
    assert "takes no keys" in bench.appliance.status() and "no Coral" in bench.appliance.status()
    bench.on_cpu = ""
    bench.appliance.handle(OutputStatus("keyboard", None))
    bench.appliance.handle(Battery.FINE)
    assert bench.states == {LedState.READY}
    bench.appliance.handle(OutputStatus("journal", "no space"))
    assert bench.states == {LedState.READY, LedState.FAULT}


def test_an_empty_battery_ends_after_the_last_words(bench: Bench) -> None:
    bench.edge(True)
    bench.sound(2.0)
    bench.appliance.handle(Battery.EMPTY)
    bench.sound(0.1)
    assert bench.screen == "Word word"
    assert bench.appliance.outcome is Outcome.SWITCH_OFF


@pytest.mark.parametrize("outcome", [Outcome.STOP, Outcome.RELOAD])
def test_told_to_end_while_listening_it_writes_what_was_said(bench: Bench, outcome: Outcome) -> None:
    bench.edge(True)
    bench.sound(2.0)
    bench.appliance.handle(StopRequested(outcome))
    assert bench.appliance.outcome is None
    bench.wait(TAIL_S + 0.1)
    assert bench.screen == "Word word" and bench.appliance.outcome is outcome


def test_told_to_end_when_ready_it_ends(bench: Bench) -> None:
    bench.appliance.handle(StopRequested(Outcome.STOP))
    assert bench.appliance.outcome is Outcome.STOP


def test_overruns_are_counted_and_told(bench: Bench) -> None:
    bench.overruns = 2
    bench.sound(0.2)
    bench.overruns = 3
    bench.sound(0.2)
    bench.overruns = 0
    bench.sound(0.2)
    assert bench.appliance.overruns == 3
    assert "3 overruns" in bench.appliance.status()


def test_a_governor_that_is_refused_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.boost.permitted = False
    for _ in range(3):
        bench.dictate(1.0)
    assert bench.screen.count("ord") == 3
    assert sum("not permitted" in record.getMessage() for record in caplog.records) == 1


def test_the_microphone_is_open_only_while_listening(bench: Bench) -> None:
    bench.dictate(1.0)
    assert bench.microphone == [True, False]


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: no exception, no stuck state, no LED without a reason."""

    @initialize(mode=st.sampled_from(["hold", "toggle"]))
    def start(self, mode: str) -> None:
        self.bench = Bench(mode)
        self.bench.appliance.start()

    @rule(pressed=st.booleans())
    def button(self, pressed: bool) -> None:
        self.bench.edge(pressed)

    @rule(tenths=st.integers(1, 60), loud=st.booleans())
    def sound(self, tenths: int, loud: bool) -> None:
        self.bench.sound(tenths / 10, loud)

    @rule(why=st.sampled_from(["", "unplugged"]))
    def microphone(self, why: str) -> None:
        self.bench.appliance.handle(MicrophoneStatus(why))

    @rule(fails=st.booleans())
    def recogniser(self, fails: bool) -> None:
        self.bench.script.fails = fails

    @rule(message=st.sampled_from([None, "asleep"]))
    def keyboard(self, message: str | None) -> None:
        self.bench.appliance.handle(OutputStatus("keyboard", message))

    @rule(battery=st.sampled_from([Battery.FINE, Battery.LOW]))
    def battery(self, battery: Battery) -> None:
        self.bench.appliance.handle(battery)

    @rule(seconds=st.floats(0, 30))
    def time(self, seconds: float) -> None:
        self.bench.wait(seconds)

    @rule()
    def battery_empty(self) -> None:
        self.bench.appliance.handle(Battery.EMPTY)

    @invariant()
    def the_governor_is_raised_only_while_listening(self) -> None:
        assert (self.bench.boost.raised > 0) == (self.bench.appliance.phase is Phase.LISTENING)

    @invariant()
    def exactly_one_activity_is_shown(self) -> None:
        activities = {LedState.STARTING, LedState.READY, LedState.LISTENING, LedState.FINALIZING}
        shown = self.bench.states & activities
        assert len(shown) == (0 if self.bench.appliance.phase is Phase.FAULT else 1)

    def teardown(self) -> None:
        bench = self.bench
        bench.script.fails = False
        bench.appliance.handle(MicrophoneStatus(""))
        bench.edge(False)
        bench.wait(RETRY_S + TAIL_S + 1)
        if bench.mode == "toggle" and bench.appliance.phase is Phase.LISTENING:
            bench.end()
            bench.wait(TAIL_S + 1)
        if bench.appliance.outcome is None:
            assert bench.appliance.phase is Phase.READY, "nothing is left to do"
            before = bench.screen
            bench.dictate(1.0)
            assert len(bench.screen) > len(before), "it dictates again once everything is well"
        bench.appliance.handle(StopRequested(Outcome.STOP))
        bench.wait(1)
        assert bench.appliance.outcome is not None


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@pytest.mark.parametrize(
    ("pauses", "screen"), [((1, 3), "Hello\nYou"), ((1,), "Hello new line you"), ((), "Hello new line you")]
)
def test_a_command_that_moves_text_is_obeyed_between_pauses(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, pauses: tuple[int, ...], screen: str
) -> None:
    said = [Segment("hello new line you", 0.0, 1.0, pauses), Final(1.0)]
    monkeypatch.setattr(bench.script, "finish", lambda: said)
    bench.dictate()
    assert bench.screen == screen


def test_the_punctuation_of_the_recogniser_is_typed_and_a_spoken_mark_takes_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [
        Segment("Hello there.", 0.0, 1.0, punctuated=True),
        Segment("Question mark.", 2.0, 3.0, punctuated=True),
        Segment("it is me", 4.0, 5.0),
        Final(5.0),
    ]
    monkeypatch.setattr(bench.script, "finish", lambda: said)
    bench.dictate()
    assert bench.screen == "Hello there? It is me"


def test_sound_that_is_lost_all_the_time_is_told_once_a_minute(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(1_500):
        bench.overruns += 2
        bench.sound(0.1)
    told = [record.getMessage() for record in caplog.records if "sound was lost" in record.getMessage()]
    assert len(told) == 3 and "2 times (2 in all)" in told[0] and told[2].endswith("machine too busy?")
    assert bench.appliance.overruns == 3_000 and "3000 overruns" in bench.appliance.status()


@pytest.mark.parametrize("mode", ["hold", "toggle"])
def test_commands_do_what_the_button_does(mode: str) -> None:
    bench = Bench(mode)
    bench.appliance.start()
    for asked, phase in (
        (ControlRequest.END, Phase.READY),
        (ControlRequest.BEGIN, Phase.LISTENING),
        (ControlRequest.BEGIN, Phase.LISTENING),
    ):
        bench.appliance.handle(asked)
        assert bench.appliance.phase is phase
    bench.sound(2.0)
    bench.appliance.handle(ControlRequest.TOGGLE)
    bench.sound(0.1, loud=False)
    assert bench.screen == "Word word" and bench.appliance.phase is Phase.READY
    bench.appliance.handle(ControlRequest.TOGGLE)
    assert bench.appliance.phase is Phase.LISTENING
    bench.appliance.handle(ControlRequest.END)
    bench.sound(0.1, loud=False)
    bench.appliance.handle(ControlRequest.DELETE)
    assert bench.screen == ""


def test_a_second_toggle_before_the_end_is_found_begins_anew(bench: Bench) -> None:
    bench.appliance.handle(ControlRequest.TOGGLE)
    bench.sound(1.0)
    bench.appliance.handle(ControlRequest.TOGGLE)
    bench.appliance.handle(ControlRequest.TOGGLE)
    assert bench.screen == "Word" and bench.appliance.phase is Phase.LISTENING


def test_a_dictation_ends_by_silence_after_the_last_word(bench: Bench) -> None:
    shown: list[Partial] = []
    bench.appliance._dependencies = replace(bench.appliance._dependencies, silence_s=2.0, partial=shown.append)
    bench.appliance.handle(ControlRequest.BEGIN)
    bench.sound(0.8, loud=False)
    bench.sound(1.0)
    assert shown and shown[-1].stable == "word"
    bench.sound(0.8, loud=False)
    bench.sound(1.0)
    bench.sound(1.9, loud=False)
    assert bench.appliance.phase is Phase.LISTENING, "words begin the silence anew"
    bench.sound(0.2, loud=False)
    assert bench.appliance.phase is Phase.READY and bench.screen == "Word word"


def test_a_dictation_does_not_end_while_what_was_said_is_still_decoded(bench: Bench) -> None:
    bench.appliance._dependencies = replace(bench.appliance._dependencies, silence_s=2.0)
    bench.appliance.handle(ControlRequest.BEGIN)
    bench.sound(1.0)
    bench.script.pending = True
    bench.sound(3.0, loud=False)
    assert bench.appliance.phase is Phase.LISTENING
    bench.script.pending = False
    bench.sound(0.2, loud=False)
    assert bench.appliance.phase is Phase.READY


@pytest.mark.parametrize("said", [0.0, 1.0])
def test_a_dictation_without_more_words_ends_and_so_does_all_where_once_is_asked_for(bench: Bench, said: float) -> None:
    bench.appliance._dependencies = replace(bench.appliance._dependencies, silence_s=2.0, once=True)
    bench.appliance.handle(ControlRequest.BEGIN)
    bench.sound(said)
    bench.sound(1.9, loud=False)
    assert bench.appliance.phase is Phase.LISTENING and bench.appliance.outcome is None
    bench.sound(0.2, loud=False)
    assert bench.appliance.phase is Phase.READY and bench.appliance.outcome is Outcome.STOP
    assert bench.screen == ("Word" if said else "")
