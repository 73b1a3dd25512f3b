"""The appliance's feed for many browsers: read once, given to each in a queue of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from device.output.feed import LARGEST, LASTING, parse

Event = dict[str, Any]

AGAIN_S = 1.0
"""Pause before another try to reach the appliance."""

WAITING = 256
"""Events that may wait for a browser before its stream is ended; the browser then asks again."""

BROWSERS = 16
"""Streams at once."""

ALIVE_S = 15.0
"""A sign of life on a stream on which nothing happens."""

LOST: Event = {"event": "feed", "connected": False}
FOUND: Event = {"event": "feed", "connected": True}


class Hub:
    """Follows the feed at a path, again and again, and hands its events on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, Event] = {"feed": LOST}
        self._queues: set[asyncio.Queue[Event | None]] = set()

    @property
    def full(self) -> bool:
        """Whether another browser has to wait."""
        return len(self._queues) >= BROWSERS

    async def run(self) -> None:
        """Follow the feed until cancelled."""
        while True:
            with contextlib.suppress(OSError, ValueError):  # ValueError: a line longer than LARGEST
                await self._follow()
            self._last = {"feed": LOST}
            self._hand_on(LOST)
            await asyncio.sleep(AGAIN_S)

    async def events(self) -> AsyncIterator[Event | None]:
        """What lasts, then what happens; None is a sign of life. Ends where the reader does not keep up."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(WAITING)
        for event in self._last.values():
            queue.put_nowait(event)
        self._queues.add(queue)
        try:
            while queue in self._queues or not queue.empty():
                try:
                    yield await asyncio.wait_for(queue.get(), ALIVE_S)
                except TimeoutError:
                    yield None
        finally:
            self._queues.discard(queue)

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LARGEST)
        try:
            self._last["feed"] = FOUND
            self._hand_on(FOUND)
            while line := await reader.readline():
                event = parse(line)
                if event is not None:
                    if event["event"] in LASTING:
                        self._last[event["event"]] = event
                    self._hand_on(event)
        finally:
            writer.close()

    def _hand_on(self, event: Event) -> None:
        for queue in list(self._queues):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._queues.discard(queue)
