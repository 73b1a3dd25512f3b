"""One open page: windows go to it, log posteriors and sound come from it.

A page is a WebSocket. Binary messages begin with a byte that says what follows, text messages are JSON objects:

| from | message | is |
| --- | --- | --- |
| server | binary WINDOW | float32 log-mel [mels, frames], normalized |
| page | binary POSTERIORS | float32 log posteriors [frames / stride, tokens] of the last window |
| page | binary SOUND | int16 samples at 16 kHz |
| page | {"hello": {"provider": …, "adapter": …}} | the models are loaded: what runs them |
| page | {"end": true} | the utterance is over |
| page | {"error": …} | the models cannot be run, for people |
| server | {"text": …}, {"partial": …}, {"final": true}, {"refused": …} | for the reader |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.connection import Connection

from models.errors import UserError

T = TypeVar("T")

WINDOW, POSTERIORS, SOUND = b"w", b"p", b"s"
LOADING_S = 180.0
"""Time in which a page must have loaded and compiled the models."""

COMPUTING_S = 180.0
"""Time in which a page must have computed one window; a software adapter takes ten seconds."""


class PageError(UserError):
    """The page is gone, or cannot run the models; the message says why."""


@dataclass(frozen=True, slots=True)
class About:
    """What runs the models in a page."""

    provider: str
    """ONNX Runtime Web's execution provider: "webgpu" or "wasm"."""
    adapter: str
    """The GPU's vendor and architecture as the browser tells them; empty for "wasm"."""

    def __str__(self) -> str:
        return (
            f"WebGPU on {self.adapter or 'an adapter without a name'}" if self.provider == "webgpu" else "WebAssembly"
        )


class Page:
    """A connected page; `listen` runs in a thread of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hello: SimpleQueue[About | PageError] = SimpleQueue()
        self._answers: SimpleQueue[NDArray[np.float32] | PageError] = SimpleQueue()
        self._sound: SimpleQueue[NDArray[np.int16] | PageError | None] = SimpleQueue()

    def listen(self) -> None:
        """Sort what comes from the page, until it is gone or sends what is not of the protocol."""
        gone = PageError("the page was closed or reloaded")
        try:
            for message in self._connection:
                self._take(message)
        except (ValueError, KeyError, TypeError, AttributeError):
            gone = PageError("the page sent what cannot be understood; reload it")
            self._connection.close()
        except ConnectionClosed:
            pass
        for queue in (self._hello, self._answers, self._sound):
            queue.put(gone)

    def about(self) -> About:
        """What runs the models, once they are loaded. Raises PageError."""
        return _next(self._hello, LOADING_S, "load the models")

    def compute(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalized log-mel [mels, frames] to log posteriors [values], flat. Raises PageError."""
        self._send(WINDOW + np.ascontiguousarray(window, np.float32).tobytes())
        return _next(self._answers, COMPUTING_S, "compute a window")

    def sound(self) -> Iterator[NDArray[np.int16] | None]:
        """int16 samples [n] as they come; None at the end of each utterance. Raises PageError."""
        while True:
            heard = self._sound.get()
            if isinstance(heard, PageError):
                raise heard
            yield heard

    def display(self, message: Mapping[str, object]) -> None:
        """Send the page something to show. Raises PageError."""
        self._send(json.dumps(message))

    def _send(self, message: bytes | str) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed:
            raise PageError("the page was closed or reloaded") from None

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            kind, content = message[:1], message[1:]
            if kind == POSTERIORS:
                self._answers.put(np.frombuffer(content, np.float32))
            elif kind == SOUND:
                self._sound.put(np.frombuffer(content, np.int16))
            else:
                raise ValueError(kind)
            return
        told = json.loads(message)
        if "error" in told:
            problem = PageError(f"the browser cannot run the models ({str(told['error'])[:300]})")
            self._hello.put(problem)
            self._answers.put(problem)
        elif "hello" in told:
            self._hello.put(About(str(told["hello"]["provider"]), str(told["hello"]["adapter"])))
        elif told.get("end"):
            self._sound.put(None)


def _next(queue: SimpleQueue[T | PageError], seconds: float, what: str) -> T:
    try:
        found = queue.get(timeout=seconds)
    except Empty:
        raise PageError(f"the page did not {what} in {seconds:.0f} s; look at the browser's console") from None
    if isinstance(found, PageError):
        raise found
    return found
