"""Frames to windows: which stretch of log-mel each call of the encoder hears, and which of its posteriors are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle import Window


@dataclass(frozen=True, slots=True, eq=False)
class WindowCall:
    """One call of the encoder: `mel` float32 [frames, mels]; of the answer's posteriors, `committed` are for good, and
    `lookahead` those after them, which a later call will know better."""

    mel: NDArray[np.float32]
    committed: slice
    lookahead: slice

    @property
    def wanted(self) -> slice:
        """Both, which adjoin; no other posterior of the answer is looked at."""
        return slice(self.committed.start, self.lookahead.stop)


class Windows:
    """Cuts a stream of log-mel frames into overlapping windows of one length.

    A window ends `right` frames after the newest frame whose posterior it adds, and reaches as far back as it is long;
    before the first frame and after the last there is `silence`. `live`, there are others between them, which end with
    the newest frame and add nothing.

    >>> import numpy as np
    >>> windows = Windows(Window(frames=8, stride=2, hop=4, right=2, live_hop=2, live_right=0), mels=1, silence=-16.0)
    >>> [call.committed for call in windows.push(np.zeros((7, 1), "f4"))]
    [slice(1, 3, None)]
    >>> [call.committed for call in windows.finish()]
    [slice(1, 3, None)]
    """

    def __init__(self, window: Window, mels: int, silence: float, live: bool = False) -> None:
        self._frames, self._stride, self.hop, self.right = window.frames, window.stride, window.hop, window.right
        if window.fault:
            raise ValueError(window.fault)
        self._lookahead_hop = window.live_hop if live else 0
        self._edge = window.live_right
        self._mels, self._silence = mels, silence
        self.reset()

    def reset(self) -> None:
        """The next frame is the first of a new utterance."""
        self._held = np.full((self._frames + self._stride - 1, self._mels), self._silence, np.float32)
        self._ahead = 0  # frames held whose posteriors have not been kept
        self._unseen = 0  # frames since the last window

    def push(self, frames: NDArray[np.float32]) -> list[WindowCall]:
        """Take frames [n, mels]; return the windows that are now due."""
        due = []
        while len(frames):
            room = self.hop + self.right - self._ahead
            taken, frames = frames[:room], frames[room:]
            self._push(taken)
            if self._ahead == self.hop + self.right:
                due.append(self._call(self.hop, self._lookahead_hop > 0))
        if self._lookahead_hop and self._unseen >= self._lookahead_hop and self._ahead > self._edge:
            due.append(self._call(0, True))
        return due

    def commit(self, posteriors: int) -> None:
        """The first so many posteriors of the last look are kept after all."""
        self._ahead -= posteriors * self._stride

    def finish(self) -> list[WindowCall]:
        """No more frames will come: return the windows that are left, and start anew."""
        due = []
        left = -(-self._ahead // self._stride) * self._stride
        while left > 0:
            new = min(left, self.hop)
            self._push(np.full((new + self.right - self._ahead, self._mels), self._silence, np.float32))
            due.append(self._call(new, False))
            left -= new
        self.reset()
        return due

    def _push(self, frames: NDArray[np.float32]) -> None:
        self._held = np.concatenate([self._held, frames])[-(self._frames + self._stride - 1) :]
        self._ahead += len(frames)
        self._unseen += len(frames)

    def _call(self, new: int, lookahead: bool) -> WindowCall:
        """A window that ends with the newest frame, or as many before it as make its posteriors those of the others."""
        late = self._ahead % self._stride
        end = len(self._held) - late
        first = (self._frames - self._ahead + late) // self._stride
        last = first + new // self._stride
        seen = max(last, (self._frames - self._edge) // self._stride) if lookahead else last
        self._ahead -= new
        self._unseen = late
        return WindowCall(self._held[end - self._frames : end], slice(first, last), slice(last, seen))
