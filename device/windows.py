"""Frames to windows: which stretch of log-mel each call of the encoder hears, and which of its posteriors are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle import Window


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of the encoder: `mel` float32 [frames, mels]; posteriors `keep` of the answer are the new ones."""

    mel: NDArray[np.float32]
    keep: slice


class Windows:
    """Cuts a stream of log-mel frames into overlapping windows of one length.

    A window ends `right` frames after the newest frame whose posterior it adds, and reaches as far back as it is long;
    before the first frame and after the last there is `silence`.

    >>> import numpy as np
    >>> windows = Windows(Window(frames=8, stride=2, hop=4, right=2, live_hop=2, live_right=2), mels=1, silence=-16.0)
    >>> [call.keep for call in windows.accept(np.zeros((7, 1), "f4"))]
    [slice(1, 3, None)]
    >>> [call.keep for call in windows.finish()]
    [slice(1, 3, None)]
    """

    def __init__(self, window: Window, mels: int, silence: float, live: bool = False) -> None:
        self._frames, self._stride = window.frames, window.stride
        self.hop, self.right = (window.live_hop, window.live_right) if live else (window.hop, window.right)
        if any(n % self._stride for n in (self._frames, self.hop, self.right)) or self.hop + self.right > self._frames:
            raise ValueError(f"window of {self._frames} frames: hop {self.hop} and right context {self.right} must fit "
                             f"in it and be multiples of {self._stride}")
        self._mels, self._silence = mels, silence
        self.reset()

    def reset(self) -> None:
        """The next frame is the first of a new utterance."""
        self._held = np.full((self._frames, self._mels), self._silence, np.float32)
        self._ahead = 0  # frames held whose posteriors have not been asked for

    def accept(self, frames: NDArray[np.float32]) -> list[Call]:
        """Take frames [n, mels]; return the windows that are now due."""
        due = []
        while len(frames):
            room = self.hop + self.right - self._ahead
            taken, frames = frames[:room], frames[room:]
            self._push(taken)
            if self._ahead == self.hop + self.right:
                due.append(self._call(self.hop))
        return due

    def finish(self) -> list[Call]:
        """No more frames will come: return the windows that are left, and start anew."""
        due = []
        left = -(-self._ahead // self._stride) * self._stride
        while left > 0:
            new = min(left, self.hop)
            self._push(np.full((new + self.right - self._ahead, self._mels), self._silence, np.float32))
            due.append(self._call(new))
            left -= new
        self.reset()
        return due

    def _push(self, frames: NDArray[np.float32]) -> None:
        self._held = np.concatenate([self._held, frames])[-self._frames :]
        self._ahead += len(frames)

    def _call(self, new: int) -> Call:
        first = (self._frames - self._ahead) // self._stride
        self._ahead -= new
        return Call(self._held, slice(first, first + new // self._stride))
