"""PortAudio: finding a capture device, opening it, and noticing when it loses sound or is gone."""

from __future__ import annotations

import os
import queue
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pyaudio
from numpy.typing import NDArray

from device.audio.chunk import SAMPLE_RATE
from device.audio.decode import AudioError
from device.config.schema import AudioSettings

SILENT_S = 1.0
"""A device that delivers nothing for this long is lost: PortAudio does not report an unplugged one."""

WAITING_BLOCKS = 600
"""Blocks that may wait to be iterated (60 s at 100 ms); more are lost, and counted."""

MOST_CHANNELS = 8
"""More than this no microphone has: such a device is a plug-in, or a mixing desk of which two are taken."""

ASOUND = Path("/proc/asound")
"""Where the kernel tells the USB id of each sound card (Documentation/sound/designs/procfile.rst)."""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """What became of the microphone; `lost` is empty while it works.

    >>> str(StreamStatus("USB Audio (hw:1,0)", rate=48_000, channels=1))
    'USB Audio (hw:1,0): 48000 Hz, resampled to 16000 Hz'
    """

    name: str
    rate: int = 0
    channels: int = 0
    lost: str = ""

    @property
    def resampled(self) -> bool:
        """Whether the device itself cannot deliver 16 kHz."""
        return self.rate != SAMPLE_RATE

    def __str__(self) -> str:
        if self.lost:
            return self.lost
        return f"{self.name}: {self.rate} Hz" + (f", resampled to {SAMPLE_RATE} Hz" if self.resampled else "")


class GapDetector:
    """Notices lost sound by the clock: blocks that fall behind real time and stay behind.

    A late block alone proves nothing, since the next ones catch up; so the smallest delay within `window`
    seconds of sound is compared with that of the window before. A drift of the sound card's clock stays far
    below `tolerance`.

    >>> gaps = GapDetector(tolerance=0.05, window=1.0)
    >>> any(gaps.late(now=0.1 * i, sound=0.1 * i) for i in range(50))
    False
    >>> sum(gaps.late(now=0.1 * i, sound=0.1 * i - 0.3) for i in range(50, 100))
    1
    """

    def __init__(self, tolerance: float, window: float = 1.0) -> None:
        self._tolerance, self._window = tolerance, window
        self._usual: float | None = None
        self._delays: deque[float] = deque()
        self._until: float | None = None

    def late(self, now: float, sound: float) -> bool:
        """Take a block: when it came and how much sound there was until its end, both in seconds."""
        if self._until is None:
            self._until = sound + self._window
        self._delays.append(now - sound)
        if sound < self._until:
            return False
        least = min(self._delays)
        lost = self._usual is not None and least > self._usual + self._tolerance
        self._usual, self._until = least, sound + self._window
        self._delays.clear()
        return lost

    def reset(self) -> None:
        """Forget the delay so far, because a loss was counted otherwise."""
        self._usual = self._until = None
        self._delays.clear()


class InputStream:
    """One opening of a device: its blocks as they come, until it falls silent."""

    def __init__(self, status: StreamStatus, frames: int, on_thread: Callable[[], None]) -> None:
        self.status = status
        self.overruns = 0
        self._on_thread: Callable[[], None] | None = on_thread
        self._queue: queue.Queue[tuple[bytes, int, float]] = queue.Queue(WAITING_BLOCKS)
        self._dropped = 0
        self._block_s = frames / status.rate
        self._gaps = GapDetector(tolerance=max(0.03, self._block_s / 2))

    def callback(self, data: bytes, _frames: int, _time: object, flags: int) -> tuple[None, int]:
        """Called by PortAudio in its own thread."""
        if self._on_thread is not None:
            self._on_thread()
            self._on_thread = None
        try:
            self._queue.put_nowait((data, flags, time.monotonic()))
        except queue.Full:
            self._dropped += 1
        return None, pyaudio.paContinue

    def blocks(self, stopped: Event) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of shape (frames, channels), full scale ±1, until `stopped`; raise AudioError when lost."""
        heard = 0.0
        silent = max(SILENT_S, 3 * self._block_s)
        while not stopped.is_set():
            try:
                data, flags, now = self._queue.get(timeout=silent)
            except queue.Empty:
                raise AudioError(
                    f"microphone {self.status.name}: no sound for {silent:.1f} s; plug it in again"
                ) from None
            heard += self._block_s
            self._count(flags, now, heard)
            frames = np.frombuffer(data, "<i2").reshape(-1, self.status.channels)
            yield (frames / 32_768.0).astype(np.float32)

    def _count(self, flags: int, now: float, heard: float) -> None:
        if flags & pyaudio.paInputOverflow or self._dropped:
            self.overruns += max(1, self._dropped)
            self._dropped = 0
            self._gaps.reset()
        elif self._gaps.late(now, heard):
            self.overruns += 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ALSA and JACK from writing tens of lines to standard error each time PortAudio looks for devices.

    What other threads write to file descriptor 2 meanwhile (a tenth of a second) is lost, so log to a copy of it.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def open_stream(settings: AudioSettings, asound: Path, on_thread: Callable[[], None]) -> Iterator[InputStream]:
    """Open the device that `settings` names; PortAudio is started afresh, or it would not see new devices."""
    with _quiet():
        portaudio = pyaudio.PyAudio()
    try:
        device = choose(devices(portaudio), settings.device, asound)
        status = _formats(portaudio, device, settings.rate)
        frames = max(1, status.rate * settings.block_ms // 1_000)
        stream = InputStream(status, frames, on_thread)
        try:
            opened = portaudio.open(
                format=pyaudio.paInt16,
                channels=status.channels,
                rate=status.rate,
                input=True,
                input_device_index=device["index"],
                frames_per_buffer=frames,
                stream_callback=stream.callback,
            )
        except OSError as error:
            raise AudioError(
                f"microphone {status.name}: cannot be opened ({_reason(error)}); is another program using it?"
            ) from None
        try:
            yield stream
        finally:
            with suppress(OSError):
                opened.close()
    finally:
        portaudio.terminate()


def devices(portaudio: pyaudio.PyAudio) -> list[dict[str, Any]]:
    """Every device that can capture, as PyAudio describes it: hardware, then the default, then plug-ins."""
    default = None
    with suppress(OSError):
        default = portaudio.get_default_input_device_info()["index"]
    every = map(portaudio.get_device_info_by_index, range(portaudio.get_device_count()))
    return sorted(
        (device for device in every if device["maxInputChannels"] > 0),
        key=lambda device: ("(hw:" not in device["name"], device["index"] != default),
    )


def choose(found: list[dict[str, Any]], wanted: str, asound: Path = ASOUND) -> dict[str, Any]:
    """Return the first of `found` that `wanted` fits: part of the name, a USB id, or empty for any.

    >>> choose([{"name": "Webcam (hw:1,0)"}, {"name": "Headset (hw:2,0)"}], "headset")
    {'name': 'Headset (hw:2,0)'}
    """
    if re.fullmatch("[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", wanted):
        cards = _cards_with_usb_id(wanted.lower(), asound)
        matching = [device for device in found if any(f"(hw:{card}," in device["name"] for card in cards)]
    else:
        matching = [device for device in found if wanted.lower() in device["name"].lower()]
    if not matching:
        there = ", ".join(device["name"] for device in found) or "none"
        raise AudioError(
            f"microphone {wanted or '(any)'}: not found; plug it in or set audio.device to one of: {there}"
        )
    return matching[0]


def _cards_with_usb_id(wanted: str, asound: Path) -> list[str]:
    return [
        file.parent.name.removeprefix("card")
        for file in sorted(asound.glob("card[0-9]*/usbid"))
        if file.read_text().strip().lower() == wanted
    ]


def _formats(portaudio: pyaudio.PyAudio, device: dict[str, Any], preferred: int) -> StreamStatus:
    """Choose the preferred rate if the device can, else its own or a common one; all channels of a sound card.

    One channel of several would do only if the voice were on it. A plug-in offers channels that no card has.
    """
    most = device["maxInputChannels"]
    every = most if most <= MOST_CHANNELS else 2
    for rate in dict.fromkeys((preferred, int(device["defaultSampleRate"]), 48_000, 44_100)):
        for channels in dict.fromkeys((every, min(2, most), 1, most)):
            with suppress(ValueError):
                portaudio.is_format_supported(
                    rate,
                    input_device=device["index"],
                    input_channels=channels,
                    input_format=pyaudio.paInt16,
                )
                return StreamStatus(device["name"], rate, channels)
    raise AudioError(f"microphone {device['name']}: does not capture 16-bit samples; try another microphone")


def _reason(error: OSError) -> str:
    return str(error.args[-1] if error.args else error)
