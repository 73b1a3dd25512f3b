"""Finding the rate of a computer, whose end of a socket stands in for the gadget's endpoints; time is simulated."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.cli import main
from device.output import hid_report, key_rate, layouts
from device.output.hid_gadget import HidGadget
from device.output.journal import JournalEntry
from device.output.key_rate import LADDER, Found, drive
from device.output.keyboard import Keyboard

CAPS = layouts.CAPS_LOCK.usage


class SocketPort(HidGadget):
    """A port that is open already: packets go to the computer, and its LED reports come back."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(Path("stand-in"))
        self._fd = end.detach()


@dataclass
class Computer:
    """Presses that come sooner than `limit` allows are lost; the LED follows after `echo_s`, if it does."""

    end: socket.socket
    limit: float
    echo_s: float = 0.01
    caps: bool = False
    echoes: bool = True
    now: float = 0.0
    down: bool = False
    taken_at: float = -1.0
    text: str = ""
    due: list[tuple[float, bool]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.read()
        end = self.now + seconds
        for at, lit in [each for each in self.due if each[0] <= end]:
            self.due.remove((at, lit))
            self.end.send(bytes((2 * lit,)))
        self.now = end

    def read(self) -> None:
        while True:
            try:
                report = self.end.recv(8)
            except BlockingIOError:
                return
            if not report:
                return
            assert len(report) == 8
            pressed, self.down = report[2] != 0 and not self.down, report[2] != 0
            if pressed:
                self.times.append(self.now)
            if pressed and self.now - self.taken_at > 0.999 / self.limit:
                self.taken_at = self.now
                self.press(report[2])

    def press(self, usage: int) -> None:
        if usage != CAPS:
            self.text += "abcdefghijklmnopqrstuvwxyz"[usage - 4]
            return
        self.caps = not self.caps
        if self.echoes:
            self.due.append((self.now + self.echo_s, self.caps))


@contextmanager
def connected(**how: float) -> Iterator[tuple[HidGadget, Computer]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    port = SocketPort(ours)
    with theirs:
        yield port, Computer(theirs, **how)
    port.close()


@given(
    limit=st.floats(5, 2_000),
    echo_s=st.floats(0.0, 0.2),
    caps=st.booleans(),
    said=st.booleans(),
)
def test_no_faster_than_the_computer_and_caps_lock_as_it_was(
    limit: float, echo_s: float, caps: bool, said: bool
) -> None:
    with connected(limit=limit, echo_s=echo_s, caps=caps) as (port, computer):
        if said:
            computer.end.send(bytes((2 * caps,)))
        found = drive(port, computer.sleep)
        assert computer.caps == caps and not computer.down
        assert found.echoes and found.restored
        kept_up = [rate for rate in LADDER if rate <= limit]
        assert found.limit == (kept_up[-1] if kept_up else None)
        assert found.rate <= max(limit, LADDER[0])
        assert computer.now < 30


@given(caps=st.booleans(), said=st.booleans())
def test_a_computer_that_does_not_say_is_left_as_it_was(caps: bool, said: bool) -> None:
    with connected(limit=100, caps=caps, echoes=False) as (port, computer):
        if said:
            computer.end.send(bytes((2 * caps,)))
        assert drive(port, computer.sleep) == Found(False)
        assert computer.caps == caps and len(computer.times) == 2


def test_a_computer_that_takes_nothing_is_an_error() -> None:
    with connected(limit=100) as (port, _), pytest.raises(OSError) as caught:
        with pytest.raises(BlockingIOError):
            while True:
                port.write(hid_report.RELEASE)
        drive(port, lambda seconds: None)
    assert caught.value.errno == errno.EAGAIN


def typed(computer: Computer, port: HidGadget, rate: float, texts: list[str]) -> list[tuple[int, str]]:
    """Type edits by a keyboard with this rate, in simulated time; what became of them."""
    marks: list[tuple[int, str]] = []
    keyboard = Keyboard(
        port,
        layouts.strokes(layouts.LAYOUTS["us"]),
        rate=rate,
        queue=10,
        host_timeout_s=10.0,
        clock=lambda: computer.now,
        mark=lambda number, state: marks.append((number, state)),
        on_status=lambda message: None,
    )
    for number, text in enumerate(texts):
        keyboard.deliver(JournalEntry(number, 0.0, "", 0, text))
    while (delay := keyboard.step()) is not None or not keyboard.idle:
        computer.sleep(max(delay or 0.0, 1e-4))
    keyboard.finish()
    computer.read()
    return marks


@pytest.mark.parametrize(("limit", "rate"), [(40.0, 25.0), (250.0, 100.0), (1_000.0, 500.0)])
def test_a_keyboard_finds_its_rate_before_it_types(limit: float, rate: float) -> None:
    with connected(limit=limit) as (port, computer):
        marks = typed(computer, port, 0, ["abcabc", "xyz"])
        assert computer.text == "abcabcxyz" and computer.caps is False
        assert marks == [(0, "typing"), (0, "typed"), (1, "typing"), (1, "typed")]
        gaps = [after - before for before, after in zip(computer.times[-9:], computer.times[-8:], strict=False)]
        assert min(gaps) == pytest.approx(1 / rate, rel=0.05)


def test_a_given_rate_switches_nothing() -> None:
    with connected(limit=1_000.0) as (port, computer):
        typed(computer, port, 100, ["abc"])
        assert len(computer.times) == 3


def test_the_command_says_what_it_cannot_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "hidg0"
    given = ["keyboard", "calibrate", "--set", f"sinks.keyboard.path={pipe}", "--set", f"sinks.journal.dir={tmp_path}"]
    assert main(given) == 1
    assert "missing; start dictate-keyboard.service" in capsys.readouterr().err
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert main(given) == 1
    assert capsys.readouterr().err == (
        "dictate keyboard: the computer does not say whether Caps Lock is on, so nothing can be measured; "
        "lower sinks.keyboard.rate if letters are missing\n"
    )
    press, release = hid_report.reports(layouts.CAPS_LOCK)
    assert os.read(end, 4_096) == hid_report.RELEASE + 2 * (press + release)
    os.close(end)


def test_the_command_does_not_type_beside_the_appliance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "hidg0"
    os.mkfifo(pipe)
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    given = ["keyboard", "calibrate", "--set", f"sinks.keyboard.path={pipe}", "--set", f"sinks.journal.dir={tmp_path}"]
    assert main(given) == 1
    assert "stop it first" in capsys.readouterr().err
    holder.communicate("\n")


def test_the_rates_may_be_configured() -> None:
    assert list(LADDER) == sorted(LADDER) and key_rate.USUAL in LADDER
    assert all(presses % 2 for presses in key_rate.BURSTS)
