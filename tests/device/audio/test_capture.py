"""The capture thread: open always or only while wanted, ended at once, its hangs seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event

import numpy as np
import pytest

from device.audio.capture import Capture, paced
from device.audio.chunk import Chunk


class Source:
    """Gives a chunk every 5 ms and counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.hang = Event()

    def chunks(self) -> Iterator[Chunk]:
        self.opened += 1
        try:
            for index in range(1_000_000):
                while self.hang.is_set():
                    time.sleep(0.01)
                time.sleep(0.005)
                yield Chunk(np.zeros(80, np.int16), 80 * index, 0)
        finally:
            self.closed += 1


@pytest.fixture
def source() -> Source:
    return Source()


def wait(condition: object) -> None:
    end = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


def test_always_open_until_stopped(source: Source) -> None:
    heard: SimpleQueue[Chunk] = SimpleQueue()
    capture = Capture(source.chunks, heard.put)
    capture.start()
    assert [heard.get(timeout=30).first for _ in range(3)] == [0, 80, 160]
    capture.want(False)
    heard.get(timeout=30)
    capture.stop()
    assert (source.opened, source.closed) == (1, 1)


def test_open_only_while_wanted(source: Source) -> None:
    heard: SimpleQueue[Chunk] = SimpleQueue()
    capture = Capture(source.chunks, heard.put, always=False)
    capture.start()
    time.sleep(0.05)
    assert source.opened == 0 and heard.empty()
    for turn in (1, 2):
        capture.want(True)
        assert heard.get(timeout=30).first == 0, "from the beginning each time"
        capture.want(False)
        wait(lambda turn=turn: source.closed == turn)
        while not heard.empty():
            heard.get()
    capture.stop()


def test_a_hang_is_seen(source: Source) -> None:
    capture = Capture(source.chunks, lambda chunk: None)
    capture.start()
    wait(lambda: source.opened and capture.idle < 0.15)
    source.hang.set()
    wait(lambda: capture.idle > 0.2)
    source.hang.clear()
    wait(lambda: capture.idle < 0.15)
    capture.stop()


def test_what_is_not_wanted_does_not_hang(source: Source) -> None:
    capture = Capture(source.chunks, lambda chunk: None, always=False)
    capture.start()
    time.sleep(0.2)
    assert capture.idle == 0
    capture.stop()


def test_a_recording_is_paced_as_a_microphone_would() -> None:
    recording = [Chunk(np.zeros(800, np.int16), 800 * i, 0) for i in range(6)]
    begun = time.monotonic()
    moments = [time.monotonic() - begun for chunk, _ in zip(paced(recording), range(6), strict=False)]
    assert all(moment >= 0.05 * (i + 1) - 1e-3 for i, moment in enumerate(moments))
