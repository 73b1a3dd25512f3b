"""A microphone as a source of chunks: PortAudio, any rate, unplugged and plugged in again.

`Microphone` iterates `Chunk`s like `WaveFile` does, for as long as it is asked. It captures at 16 kHz where
the device can; elsewhere it captures at the device's own rate, resamples with libsoxr and says so in its
status. It stands apart from `device.audio.chunk` so that a machine without PortAudio can read files.

    from device.config.schema import AudioSettings
    from device.audio.microphone import Microphone

    for chunk in Microphone(AudioSettings(device="USB"), notify=print):
        print(f"{chunk.seconds:6.1f} s  {level(chunk.samples):6.1f} dBFS")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from device.audio.chunk import SAMPLE_RATE, Chunk, Converter
from device.audio.decode import AudioError
from device.audio.portaudio import ASOUND, InputStream, StreamStatus, open_stream
from device.config.schema import AudioSettings


class Microphone:
    """A microphone that is opened on iteration and closed when the iteration ends.

    A microphone that is missing or gets lost is told to `notify` once and looked for every `retry_s`, until
    it is back or `stop` is called; the sample count goes on. `on_capture_thread` is called once in the thread
    that PortAudio captures in, to give it a priority; `heartbeat` at every block and every try, so that a hang
    inside PortAudio can be told from silence.
    """

    def __init__(
        self,
        settings: AudioSettings,
        notify: Callable[[StreamStatus], None],
        on_capture_thread: Callable[[], None] = lambda: None,
        heartbeat: Callable[[], None] = lambda: None,
        asound: Path = ASOUND,
    ) -> None:
        self._settings = settings
        self._notify = notify
        self._on_capture_thread = on_capture_thread
        self._heartbeat = heartbeat
        self._asound = asound
        self._stopped = Event()

    def stop(self) -> None:
        """End every iteration, from any thread, within a second."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Chunk]:
        first = overruns = 0
        said = ""
        while not self._stopped.is_set():
            self._heartbeat()
            try:
                with open_stream(self._settings, self._asound, self._on_capture_thread) as stream:
                    said = ""
                    self._notify(stream.status)
                    for samples in self._converted(stream):
                        yield Chunk(samples, first, overruns + stream.overruns)
                        first += len(samples)
                    overruns += stream.overruns
            except AudioError as error:
                if str(error) != said:
                    said = str(error)
                    self._notify(StreamStatus(self._settings.device, lost=said))
                self._stopped.wait(self._settings.retry_s)

    def _converted(self, stream: InputStream) -> Iterator[NDArray[np.int16]]:
        length = SAMPLE_RATE * self._settings.block_ms // 1_000
        converter = Converter(stream.status.rate, length, stream.status.channels)
        try:
            for block in stream.blocks(self._stopped):
                self._heartbeat()
                yield from converter.feed(block)
        except AudioError:
            yield from converter.finish()
            raise


def level(samples: NDArray[np.int16]) -> float:
    """Loudness of `samples`, shape (n,), in dB below full scale (RMS); silence is -120.

    >>> round(level(np.full(100, 16_384, np.int16)), 2)
    -6.02
    """
    power = float(np.mean((samples / 32_768.0) ** 2)) if len(samples) else 0.0
    return 10.0 * float(np.log10(max(power, 1e-12)))
