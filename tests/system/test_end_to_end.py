"""From the microphone to the keys with the real recogniser and recorded speech."""

from __future__ import annotations

import difflib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from appliance_bench import Bench

from device.asr import factory
from device.asr.results import Segment
from device.audio.file import WaveFile
from models.bundle import Bundle

SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav")
"""Three seconds, of Debian's pocketsphinx-testdata, which `make setup` installs."""
LIVE_TAIL_S = 0.5
"""Silence after the speech, before the button is let go."""


@pytest.mark.slow
def test_speech_is_typed_and_journalled(bundle: Path, tmp_path: Path, sound_card: Callable[..., Any]) -> None:
    samples = np.concatenate([chunk.samples for chunk in WaveFile(SPEECH)])
    sound_card(np.concatenate([samples, np.zeros(16_000 * 30, np.int16)]))

    pipeline = factory.recognizer(Bundle.open(bundle), "cpu", live=True)
    events = [*pipeline.recognizer.accept_waveform(samples), *pipeline.recognizer.finish()]
    said = " ".join(event.text for event in events if isinstance(event, Segment)).split()

    bench = Bench(tmp_path)
    bench.configure(f'''
[bundle]
dir = "{bundle}"
[recognizer]
backend = "cpu"
[text]
punctuation = "off"
numbers = false
''')
    bench.file.write_text(bench.file.read_text().replace("[audio]", "[audio]\nkeep_open = false"))
    try:
        bench.start("real")
        bench.button(True)
        time.sleep(len(samples) / 16_000 + LIVE_TAIL_S)
        bench.button(False)
        bench.manager.wait(lambda: "1 dictations" in bench.manager.status, 30)
        bench.manager.wait(lambda: {entry.state for entry in bench.entries()} == {"typed"}, 30)
        assert bench.stop(signal.SIGTERM) == 0
    finally:
        bench.close()
    typed = bench.computer.screen.split()
    assert "".join(entry.text for entry in bench.entries()).lower().split() == typed
    assert difflib.SequenceMatcher(None, said, typed, autojunk=False).ratio() > 0.8, (said, typed)
