"""Both recognisers with their real models: a sentence, noises, long speech, and a Coral lost in the middle."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noises import KINDS, noise
from numpy.typing import NDArray

from device.asr import factory
from device.asr.factory import Pipeline, Second
from device.asr.results import Event, Final, Partial, Segment
from device.inference.accelerator import BackendContext, Choice, Models
from device.inference.backends.cpu import CpuAccelerator
from device.inference.edgetpu.client import CoralError
from device.inference.fallback import FallbackAccelerator
from models.bundle import Bundle
from models.transformer_bundle import TransformerBundle

SPEECH = np.load(Path(__file__).parents[2] / "data" / "front_end.npz")["samples"]
RATE = 16_000
TRANSCRIPT = "for the twentieth time that evening the two men shook hands"

Load = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def load(bundle: Path, second_bundle: Path) -> Load:
    opened, second = Bundle.open(bundle), TransformerBundle.open(second_bundle)

    def loaded(live: bool = False, background: bool = False, **options: Any) -> Pipeline:
        wanted = Second(second, effort="best", **options)
        return factory.recognizer(opened, "cpu", live=live, second=wanted, background=background)

    return loaded


@pytest.fixture(scope="module")
def pipeline(load: Load) -> Pipeline:
    return load()


def hear(heard: Pipeline, samples: NDArray[np.int16], size: int = 1_600) -> list[Event]:
    events: list[Event] = []
    for first in range(0, len(samples), size):
        events += heard.recognizer.accept_waveform(samples[first : first + size])
    return events + list(heard.recognizer.finish())


def segments(events: list[Event]) -> list[Segment]:
    return [event for event in events if isinstance(event, Segment)]


def words(events: list[Event]) -> list[str]:
    marks = str.maketrans("-", " ", ".,?!")
    return " ".join(segment.text for segment in segments(events)).lower().translate(marks).split()


def silence(seconds: float) -> NDArray[np.int16]:
    return noise("one bit", seconds)


def test_a_sentence_is_written_with_capitals_and_marks(pipeline: Pipeline) -> None:
    events = hear(pipeline, SPEECH)
    (segment,) = segments(events)
    assert segment.punctuated and segment.text[0].isupper() and segment.text[-1] in ".,?!"
    assert len(set(words(events)) & set(TRANSCRIPT.split())) >= 9, segment.text
    assert events[-1] == Final(len(SPEECH) / RATE)


def test_chunks_and_listening_change_no_word(load: Load, pipeline: Pipeline) -> None:
    twice = np.concatenate([SPEECH, silence(1.0), SPEECH])
    read = segments(hear(pipeline, twice))
    assert len(read) == 2 and segments(hear(pipeline, twice, size=7_777)) == read
    events = hear(load(live=True), twice)
    assert segments(events) == read and any(isinstance(event, Partial) for event in events)


def test_in_the_background_words_are_the_same_on_the_cores_that_it_was_loaded_on(load: Load) -> None:
    twice = np.concatenate([SPEECH, silence(1.0), SPEECH])
    before, may = set(threading.enumerate()), os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(may)})
        pipeline = load(live=True, background=True)
        os.sched_setaffinity(0, {min(may)})
        events = hear(pipeline, twice)
    finally:
        os.sched_setaffinity(0, may)
    assert segments(events) == segments(hear(load(live=True), twice))
    (thread,) = (t for t in threading.enumerate() if t not in before and t.name.startswith("second pass"))
    assert thread.native_id and os.sched_getaffinity(thread.native_id) == {max(may)}


def test_whole_utterances_are_decoded_in_the_mode_accurate(load: Load) -> None:
    patient = load(live=True, accurate=True)
    events = hear(patient, np.concatenate([SPEECH, silence(0.8), SPEECH]))
    (segment,) = segments(events)
    assert len(words(events)) >= 18 and len(segment.pauses) >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_noise_is_no_word(pipeline: Pipeline, kind: str) -> None:
    assert words(hear(pipeline, noise(kind, 12.0), size=RATE)) == []


def test_noise_around_speech_adds_no_sentence(pipeline: Pipeline) -> None:
    alone = len(words(hear(pipeline, SPEECH)))
    for kind in ("faint hiss", "typing", "breath"):
        around = noise(kind, 5.0)
        around = np.rint(around * min(1.0, 300 / max(1.0, float(np.std(around))))).astype(np.int16)
        events = hear(pipeline, np.concatenate([around, SPEECH, around]), size=RATE)
        assert abs(len(words(events)) - alone) <= 4, (kind, words(events))


def test_long_speech_with_pauses_does_not_loop(pipeline: Pipeline) -> None:
    once = words(hear(pipeline, SPEECH))
    long = np.concatenate([part for index in range(8) for part in (SPEECH, silence(0.2 + 0.25 * index))])
    heard = words(hear(pipeline, long, size=RATE))
    assert abs(len(heard) - 8 * len(once)) <= 8
    assert heard.count("hands") == 8


class Flaky:
    """A Coral that computes as the CPU does, and is gone after so many calls."""

    name = "coral"

    def __init__(self, cpu: CpuAccelerator, calls: int) -> None:
        self._cpu, self._left = cpu, calls
        self.shapes = cpu.shapes

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        if not self._left:
            raise CoralError("the Coral is gone")
        self._left -= 1
        return self._cpu.invoke(window, model)

    def close(self) -> None:
        pass

    def poll(self, wait_s: float = 0.0) -> Flaky:
        return self


@pytest.mark.parametrize("calls", [0, 1, 5, 12])
def test_a_coral_lost_in_the_middle_of_a_sentence_changes_no_word(
    load: Load, pipeline: Pipeline, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pieces of an encoder as well; both encoders are on it, and both go on with the CPU."""
    changes: list[str] = []

    def choose(backend: str, models: Models, context: BackendContext) -> Choice:
        cpu = CpuAccelerator(*models.cpu)
        assert len(models.cpu) == 19
        start = partial(Flaky, cpu, calls)
        accelerator = FallbackAccelerator(cpu, start, lambda change: changes.append(change.backend), lambda: 0.0)
        accelerator.wait(0.0)
        return Choice(accelerator, "the Coral", False)

    monkeypatch.setattr(factory, "choose", choose)
    lost = load()
    assert segments(hear(lost, SPEECH)) == segments(hear(pipeline, SPEECH))
    assert changes == ["coral", "cpu"]


def test_where_only_one_bundle_was_compiled_the_other_is_on_the_cpu(
    bundle: Path, second_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, second = Bundle.open(bundle), TransformerBundle.open(second_bundle)
    chosen: list[tuple[int, bool]] = []
    real = factory.choose

    def choose(backend: Any, models: Models, context: BackendContext) -> Choice:
        chosen.append((len(models.cpu), models.coral is not None))
        return real("cpu", models, context)

    monkeypatch.setattr(factory, "choose", choose)
    edge_tpu = replace(second.description.edge_tpu, compiled=True)
    compiled = {f"{name}_edgetpu.tflite": "" for name in second.names}
    half = replace(
        second, description=replace(second.description, edge_tpu=edge_tpu), files={**second.files, **compiled}
    )
    _, pieces = factory.accelerators(opened, half, "auto", 1)
    assert chosen == [(1, False), (18, True)] and set(pieces) == set(second.names)


def test_a_missing_second_bundle_leaves_the_first_pass_and_one_line(tmp_path: Path) -> None:
    told: list[str] = []
    assert factory.second_pass("two-pass", tmp_path / "none", "auto", told.append) is None
    (line,) = told
    assert "second pass" in line and "\n" not in line
    assert factory.second_pass("streaming", tmp_path / "none", "auto", told.append) is None and len(told) == 1
