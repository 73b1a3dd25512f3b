"""The recogniser on real speech: the committed bundle, a sentence of a CC0 recording, whole and in pieces."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.asr import factory
from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from device.asr.endpointing import Endpointing
from device.asr.recognizer import KEPT, Recognizer
from device.asr.results import Event, Final, Partial, Segment
from models.bundle import Bundle

SPEECH = np.load(Path(__file__).parents[2] / "data" / "front_end.npz")["samples"]
RATE = 16_000
TRANSCRIPT = "for the twentieth time that evening the two men shook hands"


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def recognizer(opened: Bundle) -> Recognizer:
    return factory.recognizer(opened, "cpu").recognizer


@pytest.fixture(scope="module")
def live(opened: Bundle) -> Recognizer:
    return factory.recognizer(opened, "cpu", live=True).recognizer


def hear(recognizer: Recognizer, samples: np.ndarray, sizes: list[int] | None = None) -> list[Event]:
    events: list[Event] = []
    for part in np.split(samples, np.cumsum(sizes or [])):
        events += recognizer.accept_waveform(part)
    return events + recognizer.finish()


def text(events: list[Event]) -> str:
    return " ".join(e.text for e in events if isinstance(e, Segment))


def silence(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 8, round(seconds * RATE)).astype(np.int16)


def test_understands_a_real_sentence(recognizer: Recognizer) -> None:
    events = hear(recognizer, SPEECH)
    heard = set(text(events).split())
    spoken = set(TRANSCRIPT.split())
    assert len(heard & spoken) >= 0.6 * len(spoken), text(events)
    assert events[-1] == Final(len(SPEECH) / RATE)


@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.integers(1, 20_000), max_size=20))
def test_chunk_sizes_do_not_change_a_word(recognizer: Recognizer, sizes: list[int]) -> None:
    assert text(hear(recognizer, SPEECH, sizes)) == text(hear(recognizer, SPEECH))


def test_silence_and_nothing_are_no_words(recognizer: Recognizer) -> None:
    assert [type(e) for e in recognizer.finish()] == [Final]
    for quiet in (np.zeros(3 * RATE, np.int16), silence(3.0), np.zeros(1, np.int16)):
        assert text(hear(recognizer, quiet)) == ""


def test_a_pause_ends_a_segment(recognizer: Recognizer) -> None:
    events = hear(recognizer, np.concatenate([SPEECH, silence(2.0), SPEECH, silence(1.0)]))
    segments = [e for e in events if isinstance(e, Segment)]
    assert len(segments) >= 2
    lengths = len(SPEECH) / RATE
    assert any(s.end <= lengths + 0.3 for s in segments) and any(s.start >= lengths + 1.5 for s in segments)
    assert all(a.end <= b.start for a, b in pairwise(segments))


@pytest.mark.parametrize("live", [False, True])
def test_a_short_pause_is_told_with_the_word_that_follows_it(opened: Bundle, live: bool) -> None:
    patient = factory.recognizer(opened, "cpu", live=live, endpointing=Endpointing(trailing_silence=2.0)).recognizer
    (once,) = [e for e in hear(patient, SPEECH) if isinstance(e, Segment)]
    twice = np.concatenate([SPEECH, silence(0.5), SPEECH])
    (segment,) = [e for e in hear(patient, twice) if isinstance(e, Segment)]
    words = segment.text.split()
    between = len(once.text.split())
    assert words[:between] == once.text.split() and between in segment.pauses
    assert set(segment.pauses) - {between} <= {*once.pauses, *(between + at for at in once.pauses)}
    (in_pieces,) = [e for e in hear(patient, twice, [800] * 60) if isinstance(e, Segment)]
    assert in_pieces.pauses == segment.pauses


def test_speech_without_a_pause_is_cut_all_the_same(opened: Bundle) -> None:
    ends = Endpointing(soft_limit=2.0, max_segment=3.0)
    impatient = factory.recognizer(opened, "cpu", endpointing=ends).recognizer
    segments = [e for e in hear(impatient, np.tile(SPEECH, 4)) if isinstance(e, Segment)]
    assert max(s.end - s.start for s in segments) < 8.0


def test_the_stable_prefix_never_changes(live: Recognizer) -> None:
    noisy = (SPEECH * 0.3 + np.random.default_rng(1).normal(0, 150, len(SPEECH))).astype(np.int16)
    partials = 0
    for samples in (SPEECH, noisy):
        stable = ""
        for event in hear(live, np.concatenate([samples, silence(1.5), samples]), [800] * 60):
            if isinstance(event, Partial):
                partials += 1
                assert event.stable.startswith(stable)
                stable = event.stable
            elif isinstance(event, Segment):
                assert event.text.startswith(stable)
                stable = ""
    assert partials > 3


def test_live_words_come_while_they_are_spoken(live: Recognizer) -> None:
    early = [e for e in live.accept_waveform(SPEECH) if isinstance(e, Partial)]
    assert early and early[-1].stable + early[-1].tail
    live.finish()


def test_listening_finds_the_words_that_reading_finds(recognizer: Recognizer, live: Recognizer) -> None:
    for samples in (SPEECH, np.concatenate([SPEECH, silence(0.9), SPEECH])):
        read = [event for event in hear(recognizer, samples) if not isinstance(event, Partial)]
        assert [e for e in hear(live, samples, [1_600] * (len(samples) // 1_600)) if not isinstance(e, Partial)] == read


def test_a_pause_ends_a_segment_as_soon_as_its_last_word_is_heard_well(live: Recognizer) -> None:
    said = [
        event for event in live.accept_waveform(np.concatenate([SPEECH, silence(0.5)])) if isinstance(event, Segment)
    ]
    quiet = 0.5  # seconds
    while not said and quiet < 2:
        said += [event for event in live.accept_waveform(silence(0.1)) if isinstance(event, Segment)]
        quiet += 0.1
    assert 1.0 < quiet < 1.7
    live.reset()
    assert [segment.text for segment in said] == [text(hear(live, SPEECH))]


def test_words_are_shown_while_the_newest_sound_is_heard(live: Recognizer) -> None:
    shown: list[str] = []
    for block in np.split(SPEECH, range(1_600, len(SPEECH), 1_600)):
        for event in live.accept_waveform(block):
            if isinstance(event, Partial):
                shown = [*event.stable.split(), *event.tail.split()]
    assert live.searched > len(SPEECH) / RATE - 0.35
    final = text(live.finish()).split()
    assert sum(word in shown for word in final) > 0.7 * len(final)


class AllFrames:
    """The encoder, whose head computes all frames whatever is wanted of it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.wanted: list[slice] = []

    def hidden(self, mel: np.ndarray) -> np.ndarray:
        return self._encoder.hidden(mel)

    def head(self, hidden: np.ndarray, wanted: slice) -> np.ndarray:
        self.wanted.append(wanted)
        return self._encoder.head(hidden)[wanted]


def test_words_do_not_depend_on_how_many_frames_the_head_computes(opened: Bundle, live: Recognizer) -> None:
    everything = AllFrames(Encoder(opened, factory.accelerators(opened, None, "cpu", 1)[0].accelerator))
    heard = Recognizer(opened, everything, Decoder.of(opened), live=True)
    samples = np.concatenate([SPEECH, silence(1.5), SPEECH])
    sizes = [1_600] * (len(samples) // 1_600)
    assert hear(heard, samples, sizes) == hear(live, samples, sizes)
    window = opened.window
    looked = [wanted.stop - wanted.start for wanted in everything.wanted]
    assert window.live_hop <= window.stride * min(looked)
    assert window.stride * max(looked) <= window.hop + window.right < window.frames


def test_an_utterance_does_not_depend_on_the_one_before(recognizer: Recognizer) -> None:
    first = hear(recognizer, SPEECH)
    hear(recognizer, silence(2.0))
    recognizer.accept_waveform(SPEECH[: len(SPEECH) // 2])
    recognizer.reset()
    assert hear(recognizer, SPEECH) == first


def test_a_chunk_of_the_microphone_waits_for_the_encoder_or_for_the_search(opened: Bundle) -> None:
    stages: set[str] = set()

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        stages.add(name)
        yield

    heard = factory.recognizer(opened, "cpu", live=True, stage=stage).recognizer
    seen: list[set[str]] = []
    for block in np.split(SPEECH, range(1_600, len(SPEECH), 1_600)):
        heard.accept_waveform(block)
        seen.append(set(stages))
        stages.clear()
    assert sum("encoder" in names for names in seen) > 5
    assert not any({"encoder", "search"} <= names for names in seen)


def test_a_segment_has_its_posteriors_where_asked_for_unless_it_is_too_long(opened: Bundle) -> None:
    plain = factory.recognizer(opened, "cpu").recognizer
    assert isinstance(plain, Recognizer)
    assert all(e.log_probs is None for e in hear(plain, SPEECH) if isinstance(e, Segment))
    d = opened.description
    decoder = Decoder.of(opened)
    chosen, _ = factory.accelerators(opened, None, "cpu", 1)
    ends = Endpointing(soft_limit=99.0, max_segment=99.0)
    giving = Recognizer(opened, Encoder(opened, chosen.accelerator), decoder, endpointing=ends, posteriors=True)
    frame = d.front_end.hop * d.window.stride / RATE
    (segment,) = [e for e in hear(giving, SPEECH) if isinstance(e, Segment)]
    assert segment.log_probs is not None and segment.log_probs.shape[1] == len(opened.tokens())
    assert segment.end - segment.start <= len(segment.log_probs) * frame <= len(SPEECH) / RATE + 3
    speech = SPEECH[round(segment.start * RATE) : round(segment.end * RATE)]
    long = [e for e in hear(giving, np.tile(speech, round(KEPT / len(speech) * RATE) + 2)) if isinstance(e, Segment)]
    assert any(e.end - e.start > KEPT for e in long)
    assert all((e.log_probs is None) == (e.end - e.start > KEPT - ends.trailing_silence) for e in long)
