"""Moonshine tiny, English (Jeffries et al. 2024, arXiv 2410.15608), as its package ships it; the whole utterance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.bench.engine import RATE, Engine, Job, not_installed
from device.bench.engines.whole import Whole

PACKAGES = ("moonshine-voice",)


def missing(job: Job) -> str:
    """The last release that ships its model is 0.0.44."""
    return not_installed("moonshine-voice==0.0.44", "moonshine_voice")


def load(job: Job) -> Engine:
    from moonshine_voice.moonshine_api import ModelArch
    from moonshine_voice.transcriber import Transcriber
    from moonshine_voice.utils import get_model_path

    folder = Path(get_model_path("tiny-en"))
    transcriber = Transcriber(str(folder), ModelArch.TINY)

    def transcribe(samples: NDArray[np.float32]) -> str:
        heard = transcriber.transcribe_without_streaming(samples.tolist(), RATE)
        return " ".join(line.text for line in heard.lines)

    return Whole(transcribe, [folder])
