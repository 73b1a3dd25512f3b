"""`dictate run` as it is installed: what it says and how it ends when something is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

DICTATE = shutil.which("dictate", path=str(Path(sys.executable).parent)) or "dictate"


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    soundfile.write(tmp_path / "sound.wav", np.zeros(16_000, np.int16), 16_000)
    settings = {
        "audio.source": "file",
        "audio.file": tmp_path / "sound.wav",
        "panel.pins": "mock",
        "bundle.dir": tmp_path / "no-bundle",
        "sinks.keyboard.enabled": "false",
        "sinks.journal.dir": tmp_path / "journal",
        "power.dir": tmp_path / "power",
        "vocabulary.file": tmp_path / "words.tsv",
        "realtime.enabled": "false",
    }
    return [f"--set={key}={value}" for key, value in settings.items()]


def test_without_a_bundle_it_is_up_and_says_so(tmp_path: Path, options: list[str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environ = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        child = subprocess.Popen([DICTATE, "run", *options], env=environ, stderr=subprocess.PIPE, text=True)
        try:
            heard = ""
            while "READY=1" not in heard:
                heard = manager.recv(65_536).decode()
            assert "STATUS=fault" in heard and "no-bundle" in heard
            child.send_signal(signal.SIGTERM)
            _, told = child.communicate(timeout=30)
        finally:
            child.kill()
    assert child.returncode == 0
    assert "no-bundle" in told and "Traceback" not in told


def test_a_release_on_trial_that_cannot_dictate_is_never_ready(options: list[str]) -> None:
    environ = os.environ | {"DICTATE_TRIAL": "1"}
    done = subprocess.run([DICTATE, "run", *options], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "on trial" in done.stderr.splitlines()[-1] and "no-bundle" in done.stderr.splitlines()[-1]


def test_a_bad_configuration_ends_with_2(options: list[str]) -> None:
    result = subprocess.run([DICTATE, "run", *options, "--set", "audio.rate=5"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "audio.rate = 5" in result.stderr and "Hz" in result.stderr


def test_pins_that_are_missing_end_with_1(options: list[str]) -> None:
    wrong = ["--set=panel.pins=lgpio", "--set=panel.chip=9"]
    result = subprocess.run([DICTATE, "run", *options, *wrong], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("dictate run: /dev/gpiochip9")
