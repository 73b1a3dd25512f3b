"""What hears an utterance as it comes, whatever finds the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.asr.results import Event


class StreamingRecognizer(Protocol):
    """`device.asr.recognizer.Recognizer` and `device.asr.two_pass.TwoPass` are two."""

    def accept_waveform(self, samples: NDArray[np.int16]) -> Sequence[Event]:
        """Take int16 samples [n] at 16 kHz; return what they led to."""

    @property
    def pending(self) -> bool:
        """Whether events wait for a segment that is still being decoded."""

    def finish(self) -> Sequence[Event]:
        """The utterance is over: return its last segments and Final."""

    def reset(self) -> None:
        """Forget everything heard."""
