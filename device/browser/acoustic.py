"""The acoustic model as the recogniser calls it, computed by a page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.asr.encoder import normalized
from device.browser.page import Page, PageError
from models.bundle import Bundle


class BrowserAcoustic:
    """Encoder and head in one call to the page, so that what is between them stays on the GPU."""

    def __init__(self, bundle: Bundle, page: Page) -> None:
        """`bundle` has the float32 ONNX encoder that `convert/build.py --comparison` writes."""
        d = bundle.description
        self._front_end, self._tokens, self._page = d.front_end, len(bundle.tokens()), page

    def hidden(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel [frames, mels] to log posteriors [frames / stride, tokens]: the head is in it."""
        answer = self._page.compute(normalized(mel, self._front_end).T)
        if answer.size % self._tokens:
            raise PageError(f"the page sent {answer.size} values, which are no frames of {self._tokens} tokens")
        return answer.reshape(-1, self._tokens)

    def head(self, hidden: NDArray[np.float32], wanted: slice) -> NDArray[np.float32]:
        """Of the log posteriors, those of the frames that are `wanted`."""
        return hidden[wanted]
