"""Two recognisers as one: the first hears at once and finds the segments, the second writes their final text.

The CTC recogniser gives partial results, endpointing, and whether there is speech at all. Each segment that it finishes
is decoded again by the second pass from the samples around it, and its text replaced. Where the second pass is not to
be believed (device/asr/guard.py), the first one's text stays.

With an executor the first pass goes on listening meanwhile: what it finds waits behind the segment that is decoded, so
the events and their order are the same.

    recognizer = TwoPass(Recognizer(...), SecondPass(...), Endpointing(), Budget("auto"), time.monotonic)
    recognizer.accept_waveform(samples)
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.asr import guard
from device.asr.attention_decoder import Transcript
from device.asr.effort import Budget
from device.asr.endpointing import Endpointing
from device.asr.results import Event, Segment
from device.asr.streaming import StreamingRecognizer
from device.asr.word_alignment import carried_pauses, carried_times

log = logging.getLogger(__name__)

RATE = 16_000
MARGIN = 0.5
"""Seconds around the speech of a segment that are decoded with it."""
FEED = 4
"""Times as much as has just come is given to the second pass at once: no chunk waits long for it to catch up."""
GRID = 0.2
"""Seconds; a segment's sound begins at a multiple of this, so that a start corrected by a frame changes nothing."""
LONGEST = 30.0
"""Seconds of speech without a gap that are still decoded again; more would need memory without end."""


class FirstPass(StreamingRecognizer, Protocol):
    """`device.asr.recognizer.Recognizer`, as far as it is needed here."""

    @property
    def committed(self) -> float: ...

    @property
    def speech(self) -> tuple[float, float] | None: ...

    @property
    def searched(self) -> float: ...

    @property
    def encoded(self) -> bool: ...


class Decoding(Protocol):
    """`device.asr.second_pass.SecondPass`, as far as it is needed here."""

    samples: int

    def accept_waveform(self, samples: NDArray[np.int16]) -> None: ...

    def finish(self, rest: NDArray[np.int16]) -> Callable[[int], Sequence[Transcript]]: ...

    def reset(self) -> None: ...


class Rescore(Protocol):
    """`device.asr.rescoring.Rescorer`, as far as it is needed here."""

    def __call__(self, texts: Sequence[str], log_probs: NDArray[np.float32]) -> Sequence[float]: ...


class Sound:
    """The newest samples of an utterance, by their place in it.

    >>> sound = Sound()
    >>> sound.push(np.arange(10, dtype=np.int16))
    >>> sound.forget(4)
    >>> sound.between(0, 6).tolist(), sound.end
    ([4, 5], 10)
    """

    def __init__(self) -> None:
        self._held = np.zeros(0, np.int16)
        self.end = 0
        """How many samples were pushed."""

    def push(self, samples: NDArray[np.int16]) -> None:
        """The next samples [n]."""
        self._held = np.concatenate([self._held, samples])
        self.end += len(samples)

    def forget(self, before: int) -> None:
        """Samples before that place are not needed any more."""
        first = self.end - len(self._held)
        if before > first:
            self._held = self._held[before - first :].copy()

    def between(self, start: int, end: int) -> NDArray[np.int16]:
        """The samples from `start` to before `end`, as far as they are held."""
        first = self.end - len(self._held)
        return self._held[max(0, start - first) : max(0, end - first)]

    def __len__(self) -> int:
        return len(self._held)


class TwoPass:
    """Has the interface of `device.asr.recognizer.Recognizer`."""

    def __init__(
        self,
        first: FirstPass,
        second: Decoding,
        endpointing: Endpointing,
        budget: Budget,
        clock: Callable[[], float],
        own_words: Collection[str] = (),
        rescore: Rescore | None = None,
        executor: Executor | None = None,
    ) -> None:
        """`endpointing` is that of `first`, `clock` gives seconds, `own_words` are written as the user wants them.

        `rescore` compares the hypotheses of segments that come with their posteriors. `executor`, of one thread,
        decodes beside the caller; without one, the call that ends a segment decodes it.
        """
        self._first, self._second, self._ends = first, second, endpointing
        self._budget, self._clock = budget, clock
        self._own_words = tuple(own_words)
        self._waiting: deque[Event | Future[Segment]] = deque()
        self._rescore, self._executor = rescore, executor
        self._start()

    def _start(self) -> None:
        self._sound = Sound()
        self._fed: int | None = None  # the place of the first sample that the second pass has been given
        self._previous = 0.0  # seconds; the segment before, with the silence that belongs to it, ends there
        self._second.reset()
        for given_up in self._waiting:
            if isinstance(given_up, Future):
                given_up.cancel()  # unless it is being decoded
        self._waiting.clear()

    @property
    def searched(self) -> float:
        """Seconds of the utterance that have been searched for words by the first pass."""
        return self._first.searched

    @property
    def pending(self) -> bool:
        """Whether events wait for a segment that is still being decoded."""
        return bool(self._waiting)

    def reset(self) -> None:
        """Forget everything heard; the next sample begins an utterance."""
        self._first.reset()
        self._start()

    def accept_waveform(self, samples: NDArray[np.int16]) -> list[Event]:
        """Take int16 samples [n]; return what they led to, oldest first."""
        self._sound.push(samples)
        self._enqueue(self._first.accept_waveform(samples))
        self._feed(0 if self._first.encoded else FEED * len(samples))
        return list(self._ready(wait=False))

    def finish(self) -> list[Event]:
        """The utterance is over: return its last segments, and Final; begin a new utterance."""
        self._enqueue(self._first.finish())
        events = list(self._ready(wait=True))
        self._start()
        return events

    def _enqueue(self, events: Sequence[Event]) -> None:
        """Queues the events, the segments among them to be decoded again."""
        for event in events:
            decoding = self._decoding(event) if isinstance(event, Segment) else None
            self._waiting.append(_submitted(self._executor, decoding) if decoding else event)

    def _ready(self, wait: bool) -> Iterator[Event]:
        """The oldest events, up to the first segment that is still being decoded; all of them if we `wait` for it."""
        while self._waiting:
            event = self._waiting[0]
            if isinstance(event, Future) and not (wait or event.done()):
                return
            self._waiting.popleft()
            yield event.result() if isinstance(event, Future) else event

    def _feed(self, most: int) -> None:
        """Gives the second pass what is surely part of the segment being heard, `most` samples of it; forgets what no
        segment needs.
        """
        speech = self._first.speech
        needed = self._first.committed
        if speech is None or speech[1] - speech[0] > LONGEST:
            self._drop()
        else:
            start, newest = speech
            needed = min(needed, start)
            begin, end = (
                self._begin(start),
                min(self._sound.end, round((newest + self._ends.min_trailing_silence) * RATE)),
            )
            fed = begin + self._second.samples if begin == self._fed else begin
            self._fill(begin, max(fed, min(end, fed + most)))
        needed = max(needed, self._sound.end / RATE - LONGEST - MARGIN)
        self._sound.forget(max(0, round((needed - MARGIN - GRID) * RATE)))

    def _fill(self, begin: int, end: int) -> None:
        """The second pass has been given the samples from `begin` to before `end`, afterwards; begins anew if not."""
        self._keep(begin, end)
        self._fed = begin
        self._second.accept_waveform(self._sound.between(begin + self._second.samples, end))

    def _keep(self, begin: int, end: int) -> None:
        """Makes the second pass forget what it was given, unless those are the first of the samples to decode."""
        if self._fed != begin or self._second.samples > end - begin:
            self._drop()

    def _drop(self) -> None:
        if self._fed is not None:
            self._second.reset()
            self._fed = None

    def _begin(self, start: float) -> int:
        """The first sample for a segment whose speech begins at `start` seconds."""
        early = np.floor((start - MARGIN) / GRID) * GRID
        return max(0, round(float(max(early, self._previous)) * RATE))

    def _decoding(self, segment: Segment) -> Callable[[], Segment] | None:
        """What gives the segment the second pass's text; None for one that keeps the first pass's."""
        speech = segment.end - segment.start
        after = self._silence_after(speech)
        begin, end = self._begin(segment.start), min(self._sound.end, round((segment.end + after) * RATE))
        self._previous = segment.end + after / 2
        if speech > LONGEST:
            self._drop()
            log.info("second pass: speech of %.0f s without a gap; the first pass's text is used", speech)
            return None
        self._keep(begin, end)
        rest = self._sound.between(begin + self._second.samples, end)
        decode = self._second.finish(rest)
        self._fed = None

        def decoding() -> Segment:
            began = self._clock()
            try:
                verdict = self._judged(decode(self._budget.beam), segment)
            except Exception:
                log.exception("second pass: it failed; the first pass's text is used")
                return segment
            self._measured(self._clock() - began, speech)
            if verdict.reasons:
                instead = "the next hypothesis" if verdict.transcript else "the first pass's text"
                log.info("second pass: %s; %s is used", ", ".join(verdict.reasons), instead)
            return replaced(segment, verdict.transcript.text) if verdict.transcript else segment

        return decoding

    def _judged(self, hypotheses: Sequence[Transcript], segment: Segment) -> guard.Verdict:
        """Which of the hypotheses for a segment is believed."""
        witness, speech = segment.text.split(), segment.end - segment.start
        if self._rescore is None or segment.log_probs is None:
            return guard.judge(hypotheses, witness, speech, self._own_words)
        rescore = partial(self._rescore, log_probs=segment.log_probs)
        return guard.judge(hypotheses, witness, speech, self._own_words, rescore)

    def _silence_after(self, speech: float) -> float:
        """Seconds after the speech of a segment that are surely silent, MARGIN at most; see Recognizer._ended."""
        ends = self._ends
        if speech + ends.trailing_silence < ends.soft_limit:
            return min(MARGIN, ends.trailing_silence)
        return min(
            MARGIN,
            ends.short_trailing_silence
            if speech + ends.short_trailing_silence < ends.max_segment
            else ends.min_trailing_silence,
        )

    def _measured(self, took: float, speech: float) -> None:
        if self._budget.spent(took, speech):
            beam = self._budget.beam
            how = f"{beam} hypotheses" if beam > 1 else "one hypothesis"
            log.info("second pass: %s from now on; %.1f s of speech took %.2f s", how, speech, took)


def _submitted(executor: Executor | None, decoding: Callable[[], Segment]) -> Future[Segment]:
    """The result of `decoding`, which the executor calls, or this function where there is none."""
    if executor:
        return executor.submit(decoding)
    done: Future[Segment] = Future()
    done.set_result(decoding())
    return done


def replaced(segment: Segment, text: str) -> Segment:
    """`segment` with the second pass's text, its pauses and times carried over.

    >>> replaced(Segment("hello world", 0.2, 1.4, pauses=(1,)), "Hello, world.")
    Segment(text='Hello, world.', start=0.2, end=1.4, pauses=(1,), times=(), punctuated=True)
    """
    old, new = segment.text.split(), text.split()
    pauses, times = carried_pauses(old, new, segment.pauses), carried_times(old, new, segment.times)
    return Segment(" ".join(new), segment.start, segment.end, pauses, times, punctuated=True)
