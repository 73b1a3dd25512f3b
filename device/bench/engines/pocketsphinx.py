"""PocketSphinx with the model, lexicon and trigram language model that it ships.

Listening, it hears chunk by chunk. A recording is given to it whole, so that it normalizes the cepstra of each
utterance by their own mean; chunk by chunk, 71 % instead of 55 % of the words of short commands were wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.bench.engine import RATE, Engine, Job, not_installed

PACKAGES = ("pocketsphinx",)


def missing(job: Job) -> str:
    return not_installed("pocketsphinx==5.1.1", "pocketsphinx")


def load(job: Job) -> Engine:
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
    return (Sphinx if job.live else WholeSphinx)(decoder, Path(pocketsphinx.get_model_path()) / "en-us")


class Sphinx:
    """Wraps pocketsphinx.Decoder."""

    def __init__(self, decoder: Any, folder: Path) -> None:
        self._decoder, self.model = decoder, [folder]
        self._heard, self._shown = 0, ""

    def accept_waveform(self, samples: NDArray[np.int16]) -> float | None:
        if not self._heard:
            self._decoder.start_utt()
        self._heard += len(samples)
        self._decoder.process_raw(samples.tobytes())
        text = self._text()
        if text == self._shown:
            return None
        self._shown = text
        return self._heard / RATE

    def finish(self) -> str:
        if not self._heard:
            return ""
        self._decoder.end_utt()
        text = self._text()
        self._heard, self._shown = 0, ""
        return text

    def _text(self) -> str:
        hypothesis = self._decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis else ""


class WholeSphinx(Sphinx):
    """The same, deaf until the utterance is over."""

    def __init__(self, decoder: Any, folder: Path) -> None:
        super().__init__(decoder, folder)
        self._samples: list[NDArray[np.int16]] = []

    def accept_waveform(self, samples: NDArray[np.int16]) -> float | None:
        self._samples.append(samples)
        return None

    def finish(self) -> str:
        samples, self._samples = self._samples, []
        if not samples:
            return ""
        self._decoder.start_utt()
        self._decoder.process_raw(np.concatenate(samples).tobytes(), full_utt=True)
        self._decoder.end_utt()
        return self._text()
