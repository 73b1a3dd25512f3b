"""Sound to log-mel frames, as they come: 16 kHz int16 in, one frame of 80 log-mel values for every 10 ms out.

The arithmetic is that of the acoustic model's own front end (a DFT as two convolutions, power, mel filters, natural
logarithm), so that streaming or reading a file in one piece gives the same frames as the model's graph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, FrontEnd

FULL_SCALE = 32_768.0  # int16 to [-1, 1), the waveform that the model was trained on


class LogMel:
    """A stream of samples in, a stream of frames out, with no more memory than one frame.

    A frame is `fft` samples around its centre; frame n is centred on sample n * hop. The signal is reflected at both
    ends, so the first frame needs fft / 2 + 1 samples and the last ones come out of `finish`.

    >>> front_end = FrontEnd(sample_rate=16_000, fft=400, hop=160, mels=2)
    >>> stream = LogMel(front_end, np.ones((402, 400), np.float32), np.ones((201, 2), np.float32))
    >>> stream.extract(np.zeros(1_600, np.int16)).shape, stream.finish().shape
    ((9, 2), (2, 2))
    """

    def __init__(self, front_end: FrontEnd, dft: NDArray[np.float32], mel: NDArray[np.float32]) -> None:
        """`dft` is float32 [2 * bins, fft], the windowed cosines and then the sines; `mel` float32 [bins, mels]."""
        self._front_end = front_end
        self._dft = np.ascontiguousarray(dft.T, np.float32)
        self._mel = np.ascontiguousarray(mel, np.float32)
        self.reset()

    @classmethod
    def of(cls, bundle: Bundle) -> LogMel:
        with np.load(bundle.path("front_end")) as arrays:
            return cls(bundle.description.front_end, arrays["dft"], arrays["mel"])

    def reset(self) -> None:
        """Forget everything: the next sample is the first of a new utterance."""
        self._held = np.zeros(0, np.float32)  # samples that later frames still need, reflected start included
        self._last = np.zeros(0, np.float32)  # the newest samples, for the reflection at the end
        self._opened = not self._front_end.center
        self._previous = 0.0  # the sample before, for pre-emphasis

    def extract(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Take int16 samples [n], any n; return the frames that are now complete, float32 [frames, mels]."""
        if not len(samples):
            return self._frames(0)
        x = samples.astype(np.float32) / np.float32(FULL_SCALE)
        if self._front_end.preemphasis:
            raw, self._previous = np.concatenate([[self._previous], x]), float(x[-1])
            x = (raw[1:] - self._front_end.preemphasis * raw[:-1]).astype(np.float32)
        self._held = np.concatenate([self._held, x])
        half = self._front_end.fft // 2
        self._last = np.concatenate([self._last, x])[-half - 1 :]
        if not self._opened:
            if len(self._held) <= half:
                return self._frames(0)
            self._open(half)
        return self._take()

    def finish(self) -> NDArray[np.float32]:
        """No more samples will come: return the last frames and forget everything."""
        half = self._front_end.fft // 2
        if self._front_end.center and self._opened:
            self._held = np.concatenate([self._held, self._last[-2 : -half - 2 : -1]])
        elif self._front_end.center and len(self._held):  # shorter than half a frame: reflected again and again
            self._held = np.pad(self._held, half, "reflect" if len(self._held) > 1 else "constant")
        frames = self._take()
        self.reset()
        return frames

    def _open(self, half: int) -> None:
        self._held = np.concatenate([self._held[half:0:-1], self._held])
        self._opened = True

    def _frames(self, count: int) -> NDArray[np.float32]:
        return np.empty((count, self._mel.shape[1]), np.float32)

    def _take(self) -> NDArray[np.float32]:
        fft, hop = self._front_end.fft, self._front_end.hop
        count = (len(self._held) - fft) // hop + 1
        if count <= 0:
            return self._frames(0)
        framed = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(self._held, fft)[: count * hop : hop])
        # The spectrum [frames, 2 * bins] as one product, its power [frames, bins], the energy below each mel filter.
        spectrum = framed @ self._dft
        real, imaginary = np.split(spectrum, 2, axis=1)
        energy = (real * real + imaginary * imaginary) @ self._mel
        frames: NDArray[np.float32] = np.log(np.maximum(energy, np.float32(self._front_end.log_floor)))
        self._held = self._held[count * hop :].copy()
        return frames
