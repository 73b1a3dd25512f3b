"""This program's recogniser, listening, as the benchmark's engine; its acoustic model may be any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.asr.recognizer import Recognizer
from device.asr.results import Partial, Segment
from device.asr.two_pass import TwoPass
from device.bench.engine import Job
from models.bundle import Bundle, BundleError

SHARED = ("front_end", "tokens", "lexicon", "language")


class StreamingEngine:
    """Wraps a `Recognizer`, or two of them."""

    def __init__(self, recognizer: Recognizer | TwoPass, model: Sequence[Path]) -> None:
        self._recognizer, self.model = recognizer, model
        self._said: list[str] = []

    def accept_waveform(self, samples: NDArray[np.int16]) -> float | None:
        events = self._recognizer.accept_waveform(samples)
        self._said += [event.text for event in events if isinstance(event, Segment)]
        shown = any(isinstance(event, Partial) for event in events)
        return self._recognizer.searched if shown else None

    def finish(self) -> str:
        self._said += [event.text for event in self._recognizer.finish() if isinstance(event, Segment)]
        text, self._said = " ".join(self._said), []
        return text


def missing_comparison(job: Job) -> str:
    """What to do where there is no bundle to compare with."""
    try:
        Bundle.open(job.comparison, verify=False)
    except BundleError:
        return f"no float model in {job.comparison}; python convert/build.py --comparison {job.comparison}"
    return ""


def opened(folder: str, job: Job) -> Bundle:
    """The bundle in `folder`, listening in the windows that `job` asks for."""
    bundle = Bundle.open(folder)
    window = bundle.window
    if job.live_hop:
        window = replace(window, live_hop=job.live_hop)
    if job.hop:
        window = replace(window, hop=job.hop, right=job.right, live_hop=0)
    return replace(bundle, description=replace(bundle.description, window=window))


def files(bundle: Bundle, *roles: str) -> list[Path]:
    """The files of `roles`, and those that every acoustic model here goes with."""
    return [bundle.path(role) for role in (*roles, *SHARED)]
