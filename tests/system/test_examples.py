"""The examples of the documentation, run as a reader runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device.audio.file import WaveFile

ROOT = Path(__file__).resolve().parents[2]
SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav")
DEADLINE_S = 120.0  # a machine that is busy with other tests is slower than sound


@pytest.mark.slow
def test_live_py_writes_what_is_said_and_ends_by_ctrl_c(bundle: Path, sound_card: Callable[..., Any]) -> None:
    samples = np.concatenate([chunk.samples for chunk in WaveFile(SPEECH)])
    sound_card(np.concatenate([samples, np.zeros(16_000 * 300, np.int16)]))
    command = [sys.executable, ROOT / "docs" / "examples" / "live.py", "Virtual mic"]
    environment = {**os.environ, "DICTATE_BUNDLE": str(bundle)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as running:
        assert running.stdout
        stuck = threading.Timer(DEADLINE_S, running.kill)
        stuck.start()
        said = running.stdout.readline().decode()  # partial results, then the segment that the silence ends
        running.send_signal(signal.SIGINT)
        _, complaint = running.communicate()
        stuck.cancel()
    assert running.returncode == 0, complaint.decode()
    *partials, segment = said.rstrip("\n").split("\r\033[K")
    assert len(partials) > 2, "words are shown while they are spoken"
    assert {"amiable", "himself"} & set(segment.split()), said


def test_live_py_fits_on_one_screen() -> None:
    assert len((ROOT / "docs/examples/live.py").read_text().splitlines()) <= 45
