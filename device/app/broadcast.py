"""What the appliance puts on its feed (device/output/feed.py), from what passes through the session.

>>> Broadcast(None).recognised(Partial("hello", "wor", 0.4))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np

from device.asr.results import Event, Partial
from device.audio.chunk import Chunk
from device.output.feed import Feed
from device.output.journal import JournalEntry
from device.output.sink import Sink
from device.panel.leds import LedState
from device.power.log import Sample

SILENCE_DBFS = -96.0
"""What digital silence is said to be: one step of 16 bits."""


class FeedSink:
    """Edits on the feed, as a sink."""

    name = "feed"
    marks = False

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def deliver(self, entry: JournalEntry) -> None:
        """Publish."""
        self._feed.publish("segment", id=entry.id, time=entry.time, delete=entry.delete, text=entry.text)

    def close(self) -> None:
        """Leave the feed open: it ends with the session."""


class Broadcast:
    """Publishes on a feed, or nothing where there is none. Its methods never wait."""

    def __init__(self, feed: Feed | None) -> None:
        self._feed = feed
        self._states: tuple[str, ...] = ()
        self._status = ""

    def showing(self, show: Callable[[frozenset[LedState]], None]) -> Callable[[frozenset[LedState]], None]:
        """`show`, and the states on the feed whenever they change."""

        def shown(states: frozenset[LedState]) -> None:
            show(states)
            self._state(self._in_order(states), self._status)

        return shown

    def status(self, text: str) -> None:
        """The line for `systemctl status`."""
        self._state(self._states, text)

    def recognised(self, event: Event) -> None:
        """A partial result; finished text is published once it was kept."""
        if self._feed is not None and isinstance(event, Partial):
            self._feed.publish("partial", stable=event.stable, tail=event.tail)

    def sinks(self) -> tuple[Sink, ...]:
        """What takes the edits, once they are in the journal."""
        return () if self._feed is None else (FeedSink(self._feed),)

    def level(self, chunk: Chunk) -> None:
        """The level of the sound, if anybody reads."""
        if self._feed is not None and self._feed.read:
            self._feed.publish("level", dbfs=dbfs(chunk))

    def sample(self, sample: Sample) -> None:
        """A measurement of the power."""
        if self._feed is not None:
            values = {"watts": sample.watts, "volts": sample.volts, "percent": sample.percent}
            self._feed.publish("battery", **values, celsius=sample.celsius)

    def _state(self, states: tuple[str, ...], status: str) -> None:
        if (states, status) != (self._states, self._status):
            self._states, self._status = states, status
            if self._feed is not None:
                self._feed.publish("state", states=list(states), status=status)

    @staticmethod
    def _in_order(states: Collection[LedState]) -> tuple[str, ...]:
        return tuple(state.value for state in LedState if state in states)


def dbfs(chunk: Chunk) -> float:
    """The root mean square of a chunk in dB, 0 for full scale.

    >>> dbfs(Chunk(np.full(1_600, 3_277, np.int16), 0, 0)), dbfs(Chunk(np.zeros(0, np.int16), 0, 0))
    (-20.0, -96.0)
    """
    if not len(chunk.samples):
        return SILENCE_DBFS
    power = float(np.mean(np.square(chunk.samples.astype(np.float32) / 32_768)))
    return round(max(SILENCE_DBFS, 10 * math.log10(power)), 1) if power else SILENCE_DBFS
