"""`dictate transcribe` as it is installed: faults of files, what is printed where, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from device.bench.speech import TESTDATA

DICTATE = Path(sys.executable).with_name("dictate")
CLIP = TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav"
SAID = "He might even have been made amiable himself."
STREAMED = "he might even have been made amiable himself"


@pytest.fixture(autouse=True)
def both(bundle: Path, second_bundle: Path) -> None:
    """The second pass is beside the bundle."""
    assert second_bundle.parent == bundle.parent


def transcribe(bundle: Path, *arguments: str | Path, **streams: int) -> subprocess.CompletedProcess[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [DICTATE, "transcribe", *arguments],
        stdin=subprocess.DEVNULL,
        text=True,
        errors="surrogateescape",
        env=os.environ | {"DICTATE_BUNDLE": str(bundle)},
        **streams,
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The clip as FLAC, cut at 60 %."""
    sound, rate = soundfile.read(CLIP)
    path = tmp_path / "broken.flac"
    soundfile.write(path, sound, rate)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    return path


def test_an_ordinary_run_says_nothing_but_the_text(bundle: Path) -> None:
    done = transcribe(bundle, CLIP)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SAID}\n", "")


def test_a_mode_of_one_pass_and_one_of_whole_utterances(bundle: Path) -> None:
    for mode, said in (("streaming", STREAMED), ("accurate", SAID)):
        done = transcribe(bundle, "--mode", mode, CLIP)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{said}\n", "")


def test_without_a_second_bundle_the_text_is_that_of_the_first_pass_and_a_line_says_so(
    bundle: Path, tmp_path: Path
) -> None:
    done = transcribe(bundle, "--second-pass", tmp_path / "none", CLIP)
    assert (done.returncode, done.stdout) == (0, f"{STREAMED}\n")
    assert done.stderr.startswith("dictate transcribe: the second pass is left out") and done.stderr.count("\n") == 1


def test_a_broken_file_gives_what_it_has_and_stops_no_other(bundle: Path, broken: Path, tmp_path: Path) -> None:
    done = transcribe(bundle, broken, tmp_path / "none.wav", CLIP)
    assert done.returncode == 1
    first, *_, last = done.stdout.splitlines()
    assert SAID.startswith(first[:10]) and last == SAID
    said = done.stderr.splitlines()
    assert re.fullmatch(rf"dictate transcribe: {broken}: breaks off at \d\.\d s of \d\.\d s: .+", said[0])
    assert said[1:] == [f"dictate transcribe: {tmp_path}/none.wav: no such file; check the path"]


def test_json_has_every_file_and_what_was_wrong(bundle: Path, broken: Path, tmp_path: Path) -> None:
    done = transcribe(bundle, "--json", broken, tmp_path / "none.wav", CLIP)
    assert done.returncode == 1
    cut, none, whole = map(json.loads, done.stdout.splitlines())
    assert cut["text"] and "breaks off at" in cut["error"] and 1 < cut["seconds"] < whole["seconds"]
    assert (none["text"], none["segments"], none["seconds"]) == ("", [], 0) and "no such file" in none["error"]
    assert (whole["text"], whole["error"]) == (SAID, None)


def test_a_voice_on_the_right_alone_is_heard(bundle: Path, tmp_path: Path) -> None:
    sound, rate = soundfile.read(CLIP)
    files = []
    for name, left in {"silent": 0 * sound, "offset": 0 * sound + 0.4, "opposite": -sound}.items():
        files.append(tmp_path / f"{name}.wav")
        soundfile.write(files[-1], np.stack([left, sound], axis=1), rate)
    done = transcribe(bundle, *files)
    assert done.stdout.splitlines() == [SAID] * 3


def test_a_name_that_is_not_utf_8_is_given_back_as_it_is(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_bytes(CLIP.read_bytes())
    done = transcribe(bundle, "--json", path)
    assert done.returncode == 0 and json.loads(done.stdout)["file"] == str(path)
    gone = transcribe(bundle, tmp_path / os.fsdecode(b"gone\xe9.wav"))
    assert gone.returncode == 1 and os.fsencode(gone.stderr).startswith(b"dictate transcribe: ")
    assert b"gone\xe9.wav: no such file" in os.fsencode(gone.stderr)


def test_a_full_standard_output_is_one_line(bundle: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = transcribe(bundle, CLIP, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == "dictate transcribe: standard output: No space left on device\n"


def test_a_coral_that_is_asked_for_and_not_there_is_said(bundle: Path) -> None:
    done = transcribe(bundle, "--backend", "coral", CLIP)
    assert (done.returncode, done.stdout) == (0, f"{SAID}\n")
    assert done.stderr.startswith("dictate transcribe: --backend coral: the encoder runs on the CPU")
    assert done.stderr.count("\n") == 1


def test_partials_have_no_escape_codes_where_nobody_overwrites(bundle: Path) -> None:
    for options in (["--partials"], ["--partials", "--json"]):
        done = transcribe(bundle, *options, CLIP)
        assert done.returncode == 0 and "himself" in done.stdout
        assert "\x1b" not in done.stderr and "\r" not in done.stderr
        assert STREAMED.startswith(done.stderr.splitlines()[0].split(" | ")[0])


def on_a_terminal(bundle: Path, columns: int, *options: str) -> str:
    """What a terminal of so many columns is sent on standard error."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"DICTATE_BUNDLE": str(bundle), "COLUMNS": str(columns)}
    command = [DICTATE, "transcribe", *options, str(CLIP)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environ) as run:
        os.close(theirs)
        sent = b""
        while True:
            try:
                sent += (more := os.read(ours, 65_536))
            except OSError:
                break
            if not more:
                break
        assert run.wait() == 0
    os.close(ours)
    return sent.decode()


def test_partials_fit_the_terminal(bundle: Path) -> None:
    sent = on_a_terminal(bundle, 30, "--partials")
    lines = sent.replace("\x1b[K", "").split("\r")
    assert any("|" in line for line in lines) and max(map(len, lines)) < 30
    assert "\n" not in sent
    assert "\x1b" not in on_a_terminal(bundle, 30, "--partials", "--json")
