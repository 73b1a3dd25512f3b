"""`dictate live` as it is installed: real PortAudio on a virtual card, the real recogniser, a real terminal and window.

The card hears the recording from its beginning each time it is opened, which is when a dictation begins.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from window_sessions import x11

from device.bench.speech import TESTDATA

DICTATE = Path(sys.executable).with_name("dictate")
CLIP = TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav"
SAID = "He might even have been made amiable himself."
PATIENCE_S = 60.0
OPTIONS = ("--set=audio.device=virtual", "--set=audio.keep_open=false", "--set=recognizer.backend=cpu")


@pytest.fixture
def environ(
    bundle: Path, second_bundle: Path, tmp_path: Path, sound_card: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment of a user whose microphone hears the clip and then quiet."""
    clip, _ = soundfile.read(CLIP, dtype="int16")
    quiet = np.random.default_rng(3).normal(0, 4, 16_000 * 60).astype(np.int16)
    sound_card(np.concatenate([clip, quiet]), speed=2)
    (tmp_path / "run").mkdir(mode=0o700)
    ours = {"DICTATE_BUNDLE": str(bundle), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "COLUMNS": "60", "LINES": "20"}
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, **ours}


def toggle(environ: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DICTATE, "toggle", *options], env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )


def toggle_when_up(environ: dict[str, str], live: subprocess.Popen[Any]) -> None:
    while (done := toggle(environ)).returncode:
        assert "no `dictate live` runs" in done.stderr and live.poll() is None


class AtTerminal:
    """`dictate live` on a terminal of its own; `seen` is all that it wrote."""

    def __init__(self, environ: dict[str, str], *options: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (20, 60))

        def control() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.seen = ""
        self.process = subprocess.Popen(
            [DICTATE, "live", *OPTIONS, *options],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environ, preexec_fn=control,
        )  # fmt: skip
        os.close(theirs)

    def wait_for(self, text: str) -> str:
        """Read until `text` was written after what was waited for last; returns what was written up to it."""
        while text not in self.seen:
            ready, _, _ = select.select([self._ours], [], [], PATIENCE_S)
            assert ready, f"{text!r} is not in {self.seen!r}"
            self.seen += os.read(self._ours, 65_536).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self) -> int:
        status = self.process.wait(PATIENCE_S)
        os.close(self._ours)
        return status


@pytest.fixture
def at_terminal(environ: dict[str, str]) -> Iterator[Callable[..., AtTerminal]]:
    started: list[AtTerminal] = []

    def start(*options: str) -> AtTerminal:
        started.append(AtTerminal(environ, *options))
        return started[-1]

    yield start
    for terminal in started:
        terminal.process.kill()
        terminal.process.wait()


def test_space_begins_and_ends_and_backspace_deletes(at_terminal: Callable[..., AtTerminal]) -> None:
    live = at_terminal("--wait")
    live.wait_for("(space or `dictate toggle` begins, Ctrl-C leaves)")
    live.press(b" ")
    live.wait_for("listening …")
    shown = live.wait_for(SAID)
    partials = re.findall(r"\r\x1b\[K([^\r]*)", shown)
    assert any(SAID.lower().startswith(partial) for partial in partials if partial)
    assert max(map(len, partials)) < 60
    live.press(b" ")
    live.wait_for("\n")
    live.wait_for("(space or")
    live.press(b"\x7f")
    live.press(b"\x03")
    assert live.end() == 0


def test_ctrl_c_in_the_middle_of_a_sentence_writes_it(at_terminal: Callable[..., AtTerminal]) -> None:
    live = at_terminal()
    live.wait_for("made amiable")
    live.press(b"\x03")
    live.wait_for("He might even have been made amiable")
    assert live.end() == 0


@pytest.fixture
def piped(environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, **more: str) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [DICTATE, "live", *OPTIONS, *options]
        started.append(subprocess.Popen(command, env=environ | more, text=True, **streams))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_toggle_begins_silence_ends_and_lines_are_plain(
    piped: Callable[..., subprocess.Popen[str]], environ: dict[str, str]
) -> None:
    live = piped("--wait", "--silence", "3")
    toggle_when_up(environ, live)
    assert live.stdout is not None
    assert live.stdout.readline() == f"{SAID}\n"
    second = subprocess.run([DICTATE, "live"], env=environ, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (second.returncode, second.stderr.count("\n")) == (1, 1) and "another `dictate live` runs" in second.stderr
    for _ in range(round(PATIENCE_S)):  # --start changes nothing until silence has ended the first dictation
        assert toggle(environ, "--start").returncode == 0
        if select.select([live.stdout], [], [], 1.0)[0]:
            break
    else:
        pytest.fail("silence has not ended the first dictation")
    assert live.stdout.readline().strip().lower() == SAID.lower()
    assert toggle(environ, "--quit").returncode == 0
    out, err = live.communicate(timeout=PATIENCE_S)
    assert (live.returncode, out) == (0, "") and "Traceback" not in err
    assert "no `dictate live` runs" in toggle(environ).stderr


def test_the_users_own_words_and_rules_are_those_of_the_appliance(
    piped: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "words.tsv").write_text("AmIable\tamiable\n")
    live = piped("--once", "--silence", "3", f"--set=vocabulary.file={tmp_path}/words.tsv")
    out, err = live.communicate(timeout=PATIENCE_S)
    assert (live.returncode, out) == (0, f"{SAID.replace('amiable', 'AmIable')}\n"), err


def test_text_is_typed_into_the_window_in_front(
    piped: Callable[..., subprocess.Popen[str]], environ: dict[str, str]
) -> None:
    with x11() as session:
        live = piped("--type", "--once", DISPLAY=session.environ["DISPLAY"])
        toggle_when_up(environ, live)
        assert live.stdout is not None and live.stdout.readline() == f"{SAID}\n"
        toggle(environ)
        assert live.communicate(timeout=PATIENCE_S)[0] == ""
        enter = ["xdotool", "key", "Return"]
        subprocess.run(enter, env=dict(session.environ), check=True, timeout=PATIENCE_S)
        assert session.line() == SAID


def test_what_is_missing_is_one_line(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for options, status, said in (
        (["--type"], 1, "xdotool, which types in X11 sessions, is not installed: sudo apt-get install xdotool"),
        (["--type", "nothing"], 2, "invalid choice: 'nothing'"),
        (["--silence", "-1"], 2, "must be a number above 0"),
        (["--set", "audio.rate=5"], 2, "audio.rate = 5"),
    ):
        done = subprocess.run(
            [DICTATE, "live", *options], env={**environ, "PATH": str(tmp_path / "bin"), "DISPLAY": ":99"},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (status, "") and said in done.stderr.splitlines()[-1]


def test_a_microphone_that_is_missing_is_told_and_sigterm_ends(piped: Callable[..., subprocess.Popen[str]]) -> None:
    live = piped("--set=audio.device=nonesuch", "--set=audio.keep_open=true")
    assert live.stderr is not None
    assert "microphone nonesuch: not found" in live.stderr.readline()
    live.send_signal(signal.SIGTERM)
    assert live.wait(PATIENCE_S) == 0
