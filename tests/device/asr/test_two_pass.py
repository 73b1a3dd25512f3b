"""Two recognisers as one: which samples the second is given, and what becomes of the first one's events."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.asr.attention_decoder import Transcript
from device.asr.effort import Budget
from device.asr.endpointing import Endpointing
from device.asr.results import Event, Final, Partial, Segment
from device.asr.two_pass import GRID, LONGEST, MARGIN, Sound, TwoPass, replaced

RATE = 16_000
FRAME = 320
ENDS = Endpointing()
LAG = 40  # frames that the first pass hears before it is sure


class Energy:
    """A first pass that takes loud frames of 20 ms for speech, one word a second, and is sure of them after a while."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._samples = np.zeros(0, np.int16)
        self._frames = 0  # committed
        self._segment: tuple[int, int] | None = None

    @property
    def searched(self) -> float:
        return self.committed

    encoded = False

    @property
    def committed(self) -> float:
        return self._frames * FRAME / RATE

    @property
    def speech(self) -> tuple[float, float] | None:
        loud = np.flatnonzero(self._loud(self._frames)) + self._frames
        spans = [self._segment] if self._segment else []
        if len(loud):
            spans.append((int(loud[0]), int(loud[-1])))
        return (spans[0][0] * 0.02, (spans[-1][1] + 1) * 0.02) if spans else None

    def accept_waveform(self, samples: NDArray[np.int16]) -> list[Event]:
        self._samples = np.concatenate([self._samples, samples])
        return self._heard(max(self._frames, len(self._samples) // FRAME - LAG))

    def finish(self) -> list[Event]:
        events = self._heard(len(self._samples) // FRAME)
        last = [self._close()] if self._segment else []
        end = len(self._samples) / RATE
        self.reset()
        return [*events, *last, Final(end)]

    def _loud(self, first: int = 0) -> NDArray[np.bool_]:
        whole = self._samples[first * FRAME : len(self._samples) // FRAME * FRAME].reshape(-1, FRAME)
        found: NDArray[np.bool_] = np.abs(whole.astype(np.int32)).max(1, initial=0) > 1_000
        return found

    def _heard(self, until: int) -> list[Event]:
        events: list[Event] = []
        loud = self._loud()
        for frame in range(self._frames, until):
            if loud[frame]:
                self._segment = (self._segment[0] if self._segment else frame, frame)
            elif self._segment and (frame - self._segment[1]) * 0.02 >= ENDS.trailing_silence:
                events.append(self._close())
        self._frames = until
        return events

    def _close(self) -> Event:
        assert self._segment
        first, last = self._segment
        self._segment = None
        words = " ".join(["word"] * (1 + (last - first) // 50))
        return Segment(words, first * 0.02, (last + 1) * 0.02)


@dataclass
class Kept:
    """A second pass that keeps the samples of each segment."""

    answer: list[Transcript] = field(default_factory=lambda: [Transcript("Word.", (9, 9), -0.1, True)])
    given: list[NDArray[np.int16]] = field(default_factory=list)
    beams: list[int] = field(default_factory=list)
    now: list[NDArray[np.int16]] = field(default_factory=list)
    resets: int = 0

    @property
    def samples(self) -> int:
        return sum(map(len, self.now))

    def accept_waveform(self, samples: NDArray[np.int16]) -> None:
        self.now.append(samples.copy())

    def finish(self, rest: NDArray[np.int16]) -> Callable[[int], Sequence[Transcript]]:
        self.given.append(np.concatenate([*self.now, rest]))
        self.now = []

        def decode(beam: int) -> Sequence[Transcript]:
            self.beams.append(beam)
            return self.answer

        return decode

    def reset(self) -> None:
        self.resets += 1
        self.now = []


def recognizer(second: Kept, took: float = 0.0, budget: Budget | None = None) -> TwoPass:
    now = [0.0]

    def clock() -> float:
        now[0] += took
        return now[0]

    return TwoPass(Energy(), second, ENDS, budget or Budget("best"), clock)


def scene(spans: Sequence[tuple[float, float]], seed: int = 0) -> NDArray[np.int16]:
    """Silence and speech in turn, (seconds of silence, seconds of speech), then a second of silence."""
    random = np.random.default_rng(seed)
    parts = [
        random.integers(-limit, limit, round(seconds * 50) * FRAME)
        for silent, spoken in spans
        for limit, seconds in ((100, silent), (9_000, spoken))
    ]
    return np.concatenate([*parts, random.integers(-100, 100, RATE)]).astype(np.int16)


def hear(heard: TwoPass, samples: NDArray[np.int16], sizes: Sequence[int]) -> list[Event]:
    events: list[Event] = []
    edges = [0, *np.cumsum(sizes).tolist()]
    for begin, end in pairwise([*(edge for edge in edges if edge < len(samples)), len(samples)]):
        events += heard.accept_waveform(samples[begin:end])
    return events + heard.finish()


SPANS = st.lists(st.tuples(st.floats(0.8, 4.0), st.floats(0.1, 5.0)), min_size=1, max_size=4)
SIZES = st.lists(st.integers(1, 40_000), max_size=30)


@settings(max_examples=40)
@given(spans=SPANS, sizes=SIZES)
def test_the_second_pass_is_given_each_segment_with_its_margins(
    spans: list[tuple[float, float]], sizes: list[int]
) -> None:
    """The same samples, whatever the chunks: contiguous, all of the speech, and of silence no more than the margin."""
    samples, second = scene(spans), Kept()
    events = hear(recognizer(second), samples, sizes)
    segments = [event for event in events if isinstance(event, Segment)]
    assert len(segments) == len(second.given) == len(spans)
    for segment, sound in zip(segments, second.given, strict=True):
        start, end = round(segment.start * RATE), round(segment.end * RATE)
        lowest = max(0, start - RATE)
        found = lowest + np.flatnonzero(samples[lowest : start + 1] == sound[0])
        begin = next(int(at) for at in found if np.array_equal(samples[at : at + len(sound)], sound))
        assert begin <= start and begin >= start - (MARGIN + GRID) * RATE - 1
        assert end <= begin + len(sound) <= end + MARGIN * RATE + 1
        assert begin + len(sound) == min(len(samples), end + round(MARGIN * RATE))
    whole = Kept()
    hear(recognizer(whole), samples, [])
    assert all(np.array_equal(*pair) for pair in zip(whole.given, second.given, strict=True))


def test_the_convolutions_are_fed_while_one_speaks() -> None:
    second = Kept()
    heard = recognizer(second)
    samples = scene([(1.0, 4.0)])
    for begin in range(0, 4 * RATE, 1_600):
        heard.accept_waveform(samples[begin : begin + 1_600])
    assert second.samples > 3 * RATE and not second.given
    resets = second.resets
    heard.accept_waveform(samples[4 * RATE :])
    heard.finish()
    assert second.given and second.resets == resets + 1  # that of the end


def test_silence_and_endless_speech_grow_no_memory() -> None:
    second = Kept()
    heard = recognizer(second)
    for _ in range(80):
        heard.accept_waveform(np.zeros(RATE // 2, np.int16))
    assert len(heard._sound) < 3 * RATE
    loud = np.full(RATE, 9_000, np.int16)
    for _ in range(45):
        heard.accept_waveform(loud)
        assert second.samples <= (LONGEST + 2) * RATE and len(heard._sound) <= (LONGEST + 3) * RATE
    events = heard.finish()
    assert [event.punctuated for event in events if isinstance(event, Segment)] == [False] and not second.given


def test_an_utterance_does_not_depend_on_the_one_before() -> None:
    samples = scene([(1.0, 2.0), (0.9, 1.0)])
    alone, after = Kept(), Kept()
    first = hear(recognizer(alone), samples, [1_600] * 80)
    heard = recognizer(after)
    hear(heard, scene([(3.0, 2.5)]), [])
    heard.accept_waveform(samples[: 2 * RATE])
    heard.reset()
    assert hear(heard, samples, [1_600] * 80) == first
    assert all(np.array_equal(*pair) for pair in zip(alone.given, after.given[1:], strict=True))


def test_text_is_replaced_and_pauses_and_times_are_carried_over() -> None:
    segment = Segment("hello new line world", 0.2, 2.0, (1, 3), ((0.2, 0.5), (0.9, 1.0), (1.0, 1.2), (1.7, 2.0)))
    again = replaced(segment, "Hello. New line. World!")
    assert again == Segment("Hello. New line. World!", 0.2, 2.0, (1, 3), segment.times, punctuated=True)


def test_a_text_that_is_not_believed_is_that_of_the_first_pass(caplog: pytest.LogCaptureFixture) -> None:
    loop = Transcript("secret secret secret secret", (9,) * 4, 0.0, True)
    with caplog.at_level(logging.INFO):
        events = hear(recognizer(Kept([loop])), scene([(1.0, 0.9)]), [])
        assert [event.text for event in events if isinstance(event, Segment)] == ["word"]
        events = hear(recognizer(Kept([loop, Transcript("Word.", (9, 9), -5.0, True)])), scene([(1.0, 0.9)]), [])
        assert [event.text for event in events if isinstance(event, Segment)] == ["Word."]
    assert caplog.messages == [
        "second pass: a loop; the first pass's text is used",
        "second pass: a loop; the next hypothesis is used",
    ]


def test_a_slow_board_searches_less_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    second = Kept()
    with caplog.at_level(logging.INFO):
        hear(recognizer(second, took=5.0, budget=Budget("auto")), scene([(1.0, 1.0)] * 7), [])
    assert second.beams == [4, 4, 2, 2, 1, 1, 1]
    assert [message.split(";")[0] for message in caplog.messages] == [
        "second pass: 2 hypotheses from now on",
        "second pass: one hypothesis from now on",
    ]


@given(st.lists(st.integers(0, 50), max_size=10), st.lists(st.integers(0, 400), max_size=10))
def test_sound_is_held_by_its_place(sizes: list[int], forgotten: list[int]) -> None:
    sound, whole = Sound(), np.arange(sum(sizes), dtype=np.int16)
    for size, before in zip(sizes, [*forgotten, *[0] * 10], strict=False):
        sound.push(whole[sound.end : sound.end + size])
        sound.forget(min(before, sound.end))
    held = sound.end - len(sound)
    for begin in range(held, sound.end):
        assert sound.between(begin, sound.end).tolist() == whole[begin:].tolist()
    assert sound.between(0, held).size == 0


def test_partial_results_pass_through() -> None:
    class Partials(Energy):
        def accept_waveform(self, samples: NDArray[np.int16]) -> list[Event]:
            return [Partial("a", "b", 1.0)]

    assert TwoPass(Partials(), Kept(), ENDS, Budget("best"), lambda: 0.0).accept_waveform(np.zeros(9, np.int16)) == [
        Partial("a", "b", 1.0)
    ]


class WithPosteriors(Energy):
    """Gives each segment posteriors, of as many frames as it has words."""

    def _close(self) -> Event:
        segment = super()._close()
        assert isinstance(segment, Segment)
        return replace(segment, log_probs=np.zeros((len(segment.text.split()), 3), np.float32))


def test_hypotheses_are_rescored_with_the_posteriors_of_their_segment() -> None:
    asked: list[tuple[tuple[str, ...], int]] = []

    def rescore(texts: Sequence[str], log_probs: NDArray[np.float32]) -> list[float]:
        asked.append((tuple(texts), len(log_probs)))
        return [0.0, 5.0]

    second = Kept([Transcript("Word.", (9, 9), -0.1, True), Transcript("Ward.", (9, 9), -0.2, True)])
    samples = scene([(0.5, 0.8), (2.0, 1.6)])

    def texts(first: Energy) -> list[str]:
        recognizer = TwoPass(first, second, ENDS, Budget("best"), lambda: 0.0, rescore=rescore)
        events = [*recognizer.accept_waveform(samples), *recognizer.finish()]
        return [event.text for event in events if isinstance(event, Segment)]

    assert texts(WithPosteriors()) == ["Ward.", "Ward."]
    assert asked == [(("Word.", "Ward."), 1), (("Word.", "Ward."), 2)]
    assert texts(Energy()) == ["Word.", "Word."] and len(asked) == 2


class Held(Kept):
    """A second pass that decodes only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may = threading.Event(), threading.Event()

    def finish(self, rest: NDArray[np.int16]) -> Callable[[int], Sequence[Transcript]]:
        decode = super().finish(rest)

        def held(beam: int) -> Sequence[Transcript]:
            self.begun.set()
            assert self.may.wait(30)
            return decode(beam)

        return held


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_the_first_pass_goes_on_while_a_segment_is_decoded(executor: Executor) -> None:
    second = Held()
    recognizer = TwoPass(Energy(), second, ENDS, Budget("best"), lambda: 0.0, executor=executor)
    samples = scene([(0.5, 1.0), (2.0, 1.0)])
    assert recognizer.accept_waveform(samples) == [] and recognizer.searched > 4
    second.may.set()
    events = recognizer.finish()
    assert [type(event) for event in events] == [Segment, Segment, Final]
    assert events == hear(TwoPass(Energy(), Kept(), ENDS, Budget("best"), lambda: 0.0), samples, [])


def test_a_segment_comes_as_soon_as_it_is_decoded_and_what_came_after_it_behind_it(executor: Executor) -> None:
    class Shows(Energy):
        def accept_waveform(self, samples: NDArray[np.int16]) -> list[Event]:
            return [*super().accept_waveform(samples), Partial("", "now", len(samples))]

    second = Held()
    recognizer = TwoPass(Shows(), second, ENDS, Budget("best"), lambda: 0.0, executor=executor)
    first, rest = np.split(scene([(0.5, 1.0), (2.0, 0.1)]), [3 * RATE])
    assert recognizer.accept_waveform(first) == []
    assert recognizer.accept_waveform(rest[:100]) == []
    second.may.set()
    executor.submit(lambda: None).result(30)
    segment, *shown = recognizer.accept_waveform(rest[100:200])
    assert isinstance(segment, Segment) and segment.text == "Word."
    assert shown == [Partial("", "now", len(first)), Partial("", "now", 100), Partial("", "now", 100)]


def test_what_was_given_up_is_not_told_later_nor_decoded(executor: Executor) -> None:
    second = Held()
    recognizer = TwoPass(Energy(), second, ENDS, Budget("best"), lambda: 0.0, executor=executor)
    recognizer.accept_waveform(scene([(0.5, 1.0), (2.0, 1.0), (2.0, 0.1)]))
    assert recognizer.pending and len(second.given) == 2 and second.begun.wait(30)
    recognizer.reset()
    assert not recognizer.pending
    second.may.set()
    assert recognizer.finish() == [Final(0.0)]
    executor.submit(lambda: None).result(30)
    assert len(second.beams) == 1, "the one that had begun"


@given(
    st.lists(st.tuples(st.floats(0.2, 2), st.floats(0.1, 2)), min_size=1, max_size=4),
    st.lists(st.integers(1, 12_000), max_size=20),
)
@settings(deadline=None)
def test_in_the_background_events_and_samples_are_the_same(spans: list[tuple[float, float]], sizes: list[int]) -> None:
    samples, second, other = scene(spans), Kept(), Kept()
    at_once = hear(recognizer(second), samples, sizes)
    with ThreadPoolExecutor(1) as executor:
        beside = TwoPass(Energy(), other, ENDS, Budget("best"), lambda: 0.0, executor=executor)
        assert hear(beside, samples, sizes) == at_once
    for given_beside, given_at_once in zip(other.given, second.given, strict=True):
        np.testing.assert_array_equal(given_beside, given_at_once)


@pytest.mark.parametrize("background", [False, True])
def test_where_the_second_pass_fails_no_word_is_lost(
    executor: Executor, background: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Kept):
        def finish(self, rest: NDArray[np.int16]) -> Callable[[int], Sequence[Transcript]]:
            def decode(beam: int) -> Sequence[Transcript]:
                raise MemoryError("no room")

            return decode

    ran = executor if background else None
    recognizer = TwoPass(Energy(), Broken(), ENDS, Budget("best"), lambda: 0.0, executor=ran)
    segment, _ = hear(recognizer, scene([(0.5, 0.9)]), [])
    assert isinstance(segment, Segment) and segment.text == "word"
    assert "it failed" in caplog.text and "no room" in caplog.text
