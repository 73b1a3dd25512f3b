"""One utterance of a client: PCM of any rate in, written text out. Pure: no sockets, no threads, no clock.

>>> stream = SpeechStream(recognizer, Rules(), rate=48_000, width=2, channels=2)        # doctest: +SKIP
>>> for block in blocks:                                                                 # doctest: +SKIP
...     stream.push(block)
>>> stream.finish()                                                                   # doctest: +SKIP
'Turn on the kitchen lights'
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from device.asr.results import Event, Segment
from device.asr.streaming import StreamingRecognizer
from device.audio.chunk import Converter
from device.text.edits import apply
from device.text.formatter import Rules, TextFormatter

RATES = range(8_000, 192_001)  # Hz
CHANNELS = range(1, 17)
WIDTHS = {1: "i1", 2: "<i2", 4: "<i4"}
"""Bytes of a sample, and the type of its signed little-endian integer."""


class FormatError(ValueError):
    """The client announces sound that cannot be read; the message names what can."""


class SpeechStream:
    """Speech from its first to its last block of PCM."""

    def __init__(self, recognizer: StreamingRecognizer, rules: Rules, rate: int, width: int, channels: int) -> None:
        """`rate` in Hz, `width` bytes a sample, `channels` interleaved. Raises FormatError."""
        if rate not in RATES or width not in WIDTHS or channels not in CHANNELS:
            raise FormatError(
                f"sound of {rate} Hz, {width} bytes a sample and {channels} channels cannot be read; "
                f"send {RATES[0]} to {RATES[-1]} Hz, {', '.join(map(str, WIDTHS))} bytes, "
                f"{CHANNELS[0]} to {CHANNELS[-1]} channels"
            )
        recognizer.reset()
        self._recognizer, self._writer = recognizer, TextFormatter(rules)
        self._writer.begin()
        self._converter = Converter(rate, channels=channels)
        self._width, self._channels, self._rest = width, channels, b""
        self.text = ""
        """What was written so far."""

    def push(self, pcm: bytes) -> None:
        """Take signed little-endian PCM, interleaved; a frame may be cut anywhere between two calls."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % (self._width * self._channels)
        pcm, self._rest = pcm[:whole], pcm[whole:]
        samples = np.frombuffer(pcm, WIDTHS[self._width]).astype(np.float32) / np.float32(2 ** (8 * self._width - 1))
        for block in self._converter.feed(samples.reshape(-1, self._channels)):
            self._take(self._recognizer.accept_waveform(block))

    def finish(self) -> str:
        """The utterance is over: return its text."""
        for block in self._converter.finish():
            self._take(self._recognizer.accept_waveform(block))
        self._take(self._recognizer.finish())
        return self.text

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Segment):
                self.text = apply(self.text, self._writer.segment(event.text, event.pauses, event.punctuated))
