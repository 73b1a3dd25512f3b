"""From the microphone to the keys with the real recogniser, where a bundle was built and there is speech to hear."""

from __future__ import annotations

import difflib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyaudio", reason="needs PyAudio")
pytest.importorskip("gpiozero", reason="needs gpiozero")
pytest.importorskip("flashlight.lib.text", reason="needs flashlight-text")

from appliance_bench import Bench

from device import assemble
from device.audio import WaveFile
from device.events import Segment
from models.bundle import Bundle

SPEECH = Path(__file__).parents[3] / "shared" / "speech" / "dev"
LIVE_TAIL_S = 0.5
"""Silence after the speech, before the button is let go."""


@pytest.mark.slow
def test_speech_is_typed_and_journalled(tmp_path: Path, sound_card: Callable[..., Any]) -> None:
    folder = assemble.default_bundle()
    recordings = sorted(SPEECH.rglob("*.flac"), key=lambda file: file.stat().st_size)[60:]
    if not (folder / "bundle.json").exists() or not recordings:
        pytest.skip("needs a built bundle and shared/speech")
    samples = np.concatenate([chunk.samples for chunk in WaveFile(recordings[0])])
    sound_card(np.concatenate([samples, np.zeros(16_000 * 30, np.int16)]))

    ears = assemble.recognizer(Bundle.open(folder), "cpu", live=True)
    events = [*ears.recognizer.accept(samples), *ears.recognizer.finish()]
    said = " ".join(event.text for event in events if isinstance(event, Segment)).split()

    bench = Bench(tmp_path)
    bench.configure(f'''
[bundle]
dir = "{folder}"
[recognizer]
backend = "cpu"
[text]
spoken_punctuation = false
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
