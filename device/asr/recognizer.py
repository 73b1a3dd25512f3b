"""Sound in, words out: features, windows, encoder, decoder, and where one segment ends and the next begins.

Pure: no threads, no clock but the count of samples, no hardware but the accelerator that the encoder was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from device.asr import alignment
from device.asr.decoder import Decoder
from device.asr.encoder import Acoustic
from device.asr.endpointing import Endpointing
from device.asr.features import LogMel
from device.asr.results import Event, Final, Partial, Segment
from device.asr.windowing import WindowCall, Windows
from models.bundle import Bundle

Stage = Callable[[str], AbstractContextManager[None]]
"""Wraps the work of a stage ("features", "encoder", "head", "search"), to measure it."""


Spelled = Sequence[tuple[str, Sequence[int]]]
"""Words with their spellings in token indices."""

PARTIAL_BEAM = 30  # hypotheses of what is said just now
DEFERRED = 0.2  # seconds; a longer chunk is searched at once
LEAD = 0.2  # seconds before the first sound of a segment that are searched with it
KEPT = 30.0  # seconds; a longer segment goes without its posteriors, which would need memory without end


class Recognizer:
    """Feeds on 16 kHz int16 samples of any chunk size and answers with events.

    >>> recognizer = Recognizer(bundle, encoder, decoder)                              # doctest: +SKIP
    >>> for chunk in WaveFile("speech.flac"):                                          # doctest: +SKIP
    ...     events = recognizer.accept_waveform(chunk.samples)
    >>> recognizer.finish()                                                            # doctest: +SKIP
    [Segment(text='hello world', start=0.3, end=1.1), Final(end=1.4)]
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: Acoustic,
        decoder: Decoder,
        live: bool = False,
        endpointing: Endpointing | None = None,
        stage: Stage = lambda name: nullcontext(),
        word_times: bool = False,
        posteriors: bool = False,
    ) -> None:
        """`live` also shows what the newest sound may be, before enough has been heard after it to be sure.

        `word_times` gives each segment the times of its words, for which its posteriors are kept until it ends;
        `posteriors` gives it the posteriors themselves, if it is not longer than KEPT.

        A window that is due is then encoded at once, but searched when the next samples come: a short chunk has to wait
        for one of the two only.
        """
        d = bundle.description
        self._features, self._encoder, self._decoder = LogMel.of(bundle), encoder, decoder
        self._windows = Windows(d.window, d.front_end.mels, d.front_end.feature_floor, live)
        self._rate, self._defers = d.front_end.sample_rate, live
        self._frame = d.front_end.hop * d.window.stride / self._rate  # seconds a posterior frame
        self._blank, self._boundary = d.blank, d.boundary
        self._quiet_tokens = [d.blank] if d.boundary is None else [d.blank, d.boundary]
        self._word_times, self._gives_posteriors = word_times, posteriors
        self._ends, self._stage = endpointing or Endpointing(), stage
        self._set_off = round(self._ends.set_off / self._frame)
        self._settled_after = max(
            self._ends.trailing_silence, d.window.right * d.front_end.hop / self._rate
        )  # seconds after a word
        self.reset()

    def reset(self) -> None:
        """Forget everything heard; the next sample begins an utterance."""
        self._features.reset()
        self._windows.reset()
        self._decoder.finish()
        self._samples = self._posteriors = self._partial_frames = 0
        self._segment: tuple[int, int] | None = None  # first and newest frame with speech
        self._paused_after: list[tuple[str, ...]] = []  # the words of the segment before each of its pauses
        self._lead: NDArray[np.float32] | None = None  # what was heard last, outside a segment
        self._segment_posteriors: list[NDArray[np.float32]] = []  # where they are asked for
        self._segment_from = 0  # the frame with which they begin
        self._pending: tuple[WindowCall, NDArray[np.float32]] | None = None  # encoded, not searched yet
        self._looked_voiced: tuple[int, int] | None = None  # first and last frame with speech in the last look
        self._shown = Partial("", "", 0.0)

    @property
    def committed(self) -> float:
        """Seconds of the utterance in which speech begins or ends for good; a later segment begins after them."""
        return self._posteriors * self._frame

    @property
    def speech(self) -> tuple[float, float] | None:
        """Start and newest end, in seconds, of the segment that is being heard; None where there is none.

        What was only looked at counts, so both may still change.
        """
        spans = [span for span in (self._segment, self._looked_voiced) if span]
        if not spans:
            return None
        return spans[0][0] * self._frame, (max(last for _, last in spans) + 1) * self._frame

    @property
    def pending(self) -> bool:
        """Never: whatever was found has been told."""
        return False

    @property
    def encoded(self) -> bool:
        """Whether the last samples made a window due, and so cost more than others."""
        return self._pending is not None

    @property
    def searched(self) -> float:
        """Seconds of the utterance that have been searched for words; the newest sound still waits for its window."""
        return max(self._posteriors, self._partial_frames) * self._frame

    def accept_waveform(self, samples: NDArray[np.int16]) -> list[Event]:
        """Take int16 samples [n]; return what they led to, oldest first."""
        events = list(self._answer_pending())
        self._samples += len(samples)
        with self._stage("features"):
            calls = self._windows.push(self._features.extract(samples))
        if calls and self._defers and len(samples) <= DEFERRED * self._rate:
            *calls, last = calls
            events += self._answer(calls, more=True)
            self._pending = last, self._posterior(last)
            return events
        return [*events, *self._answer(calls)]

    def finish(self) -> list[Event]:
        """The utterance is over: return its last segment, if any, and Final; begin a new utterance."""
        events = list(self._answer_pending())
        with self._stage("features"):
            calls = self._windows.push(self._features.finish()) + self._windows.finish()
        events += [*self._answer(calls), *self._close(), Final(self._samples / self._rate)]
        self.reset()
        return events

    def _answer(self, calls: list[WindowCall], more: bool = False) -> Iterator[Event]:
        """Runs the windows that are due and tells what they led to; `more`: others were cut after them."""
        for call in calls:
            yield from self._searched(call, self._posterior(call), call is calls[-1] and not more)

    def _answer_pending(self) -> Iterator[Event]:
        """Tells what the window led to that was encoded last time."""
        pending, self._pending = self._pending, None
        if pending:
            yield from self._searched(*pending, newest=True)

    def _searched(self, call: WindowCall, log_probs: NDArray[np.float32], newest: bool) -> Iterator[Event]:
        """Searches the posteriors that `call` wanted, [frames, tokens]."""
        kept = call.committed.stop - call.committed.start
        yield from self._decode_committed(log_probs[:kept])
        lookahead = log_probs[kept:]
        committed = self._paused(lookahead) if newest else 0  # the windows after it were cut before
        if committed:
            self._windows.commit(committed)
            yield from self._decode_committed(lookahead[:committed])
        self._looked_voiced = self._span(lookahead[committed:])
        yield from self._partial(lookahead[committed:])

    def _posterior(self, call: WindowCall) -> NDArray[np.float32]:
        """The log posteriors that `call` wants: [frames, tokens]."""
        with self._stage("encoder"):
            hidden = self._encoder.hidden(call.mel)
        with self._stage("head"):
            return self._encoder.head(hidden, call.wanted)

    def _decode_committed(self, log_probs: NDArray[np.float32]) -> Iterator[Event]:
        """Searches new frames [n, tokens], cutting them where a segment ends."""
        speech, begin = self._is_speech(log_probs), 0
        for index in range(len(log_probs)):
            frame = self._posteriors + index
            if speech[index]:
                self._segment = (self._segment[0] if self._segment else frame, frame)
            elif self._segment and self._ended(*self._segment, frame):
                self._search(log_probs[begin : index + 1], frame + 1)
                begin = index + 1
                yield from self._close()
            elif self._segment and frame - self._segment[1] == self._set_off:
                self._search(log_probs[begin : index + 1], frame + 1)
                begin = index + 1
                self._paused_after.append(self._words_so_far())
        self._search(log_probs[begin:], self._posteriors + len(log_probs))
        self._posteriors += len(log_probs)

    def _is_speech(self, log_probs: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which frames are speech: [frames]."""
        silent: NDArray[np.bool_] = np.exp(log_probs[:, self._quiet_tokens]).sum(1) >= 0.5
        return ~silent

    def _span(self, lookahead: NDArray[np.float32]) -> tuple[int, int] | None:
        """The first and the last frame with speech of those looked at."""
        speech = np.flatnonzero(self._is_speech(lookahead))
        return (self._posteriors + int(speech[0]), self._posteriors + int(speech[-1])) if len(speech) else None

    def _paused(self, lookahead: NDArray[np.float32]) -> int:
        """How many of the frames looked at end with so long a pause that the words before were heard well; or 0."""
        last = self._segment[1] if self._segment else None
        for index, speech in enumerate(self._is_speech(lookahead), self._posteriors):
            if speech:
                last = index
            elif last is not None and (index - last) * self._frame >= self._settled_after:
                return index + 1 - self._posteriors
        return 0

    def _ended(self, first: int, last: int, frame: int) -> bool:
        silent, long = (frame - last) * self._frame, (frame - first) * self._frame
        ends = self._ends
        needed = (
            ends.min_trailing_silence
            if long >= ends.max_segment
            else ends.short_trailing_silence
            if long >= ends.soft_limit
            else ends.trailing_silence
        )
        return silent >= needed

    def _search(self, log_probs: NDArray[np.float32], end: int) -> None:
        """Searches frames [n, tokens], of which the last is the one before `end`."""
        if self._lead is not None:
            log_probs = np.concatenate([self._lead, log_probs])
        if self._segment is None:
            self._lead = log_probs[-round(LEAD / self._frame) :]
            return
        self._lead = None
        if self._word_times or (self._gives_posteriors and (end - self._segment[0]) * self._frame <= KEPT):
            self._segment_from = self._segment_from if self._segment_posteriors else end - len(log_probs)
            self._segment_posteriors.append(log_probs)
        with self._stage("search"):
            self._decoder.advance(log_probs)

    def _words_so_far(self) -> tuple[str, ...]:
        with self._stage("search"):
            return self._decoder.fork(PARTIAL_BEAM).finish()

    def _partial(self, lookahead: NDArray[np.float32]) -> Iterator[Event]:
        """What is being said, after a look at frames [n, tokens] that are not for good: on a copy of the search."""
        self._partial_frames = self._posteriors + len(lookahead)
        lead = np.zeros((0, lookahead.shape[1]), np.float32) if self._lead is None else self._lead
        if self._segment is None:
            speech = np.flatnonzero(self._is_speech(lookahead))
            if not len(speech):
                return
            begin = len(lead) + int(speech[0]) - round(LEAD / self._frame)
            lookahead = np.concatenate([lead, lookahead])[max(0, begin) :]
        with self._stage("search"):
            stable = self._decoder.best().stable
            fork = self._decoder.fork(PARTIAL_BEAM)
            fork.advance(lookahead)
            words = fork.finish()
        partial = Partial(" ".join(words[:stable]), " ".join(words[stable:]), self._samples / self._rate)
        if (partial.stable, partial.tail) != (self._shown.stable, self._shown.tail):
            self._shown = partial
            yield partial

    def _close(self) -> Iterator[Event]:
        """Ends the segment, if there is one."""
        with self._stage("search"):
            found = self._decoder.spelled()
        words = tuple(word for word, _ in found)
        if self._segment and words:
            first, last = self._segment
            pauses = tuple(sorted({at for said in self._paused_after if (at := resumed(said, words))}))
            times = self._times(found, first, last + 1) if self._word_times else ()
            begin, end = first * self._frame, (last + 1) * self._frame
            kept = self._gives_posteriors and end - begin <= KEPT - self._ends.trailing_silence
            log_probs = np.concatenate(self._segment_posteriors) if kept else None
            yield Segment(" ".join(words), begin, end, pauses, times, log_probs=log_probs)
        self._segment, self._shown, self._paused_after, self._segment_posteriors = None, Partial("", "", 0.0), [], []

    def _times(self, found: Spelled, first: int, end: int) -> tuple[tuple[float, float], ...]:
        """Start and end of each word in seconds, within the frames from `first` to the one before `end`."""
        spellings = [spelling for _, spelling in found]
        try:
            frames = alignment.word_frames(
                np.concatenate(self._segment_posteriors), spellings, self._blank, self._boundary
            )
        except ValueError:  # the search closed a word that was cut off
            frames = alignment.spread(end - first, len(found)) + first - self._segment_from
        begins, ends = np.clip(frames + self._segment_from, first, end).T
        return tuple(
            time
            for (word, _), begin, after in zip(found, begins.tolist(), ends.tolist(), strict=True)
            for time in _shared(begin * self._frame, after * self._frame, len(word.split()))
        )


def _shared(begin: float, end: float, words: int) -> Iterator[tuple[float, float]]:
    """The times of what the lexicon has as one word and is written as several."""
    edges = np.linspace(begin, end, words + 1).tolist()
    yield from pairwise(edges)


def resumed(said: Sequence[str], words: Sequence[str]) -> int:
    """The index in `words` of the word that followed a pause, before which `said` was heard; 0 if there is none.

    What comes later may change what was heard before, so the words need not be the same up to there.

    >>> resumed(["an", "ice", "cream"], ["a", "nice", "cream", "comma"]), resumed(["hi"], ["hi"])
    (3, 0)
    """
    for at in sorted(range(1, len(words)), key=lambda at: abs(at - len(said))):
        if abs(at - len(said)) <= 2 and said and words[at - 1] == said[-1]:
            return at
    return 0
