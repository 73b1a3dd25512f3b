"""The virtual Pi's instruments, without QEMU: LEDs, keys, partition table, sound, timing, command line."""

from __future__ import annotations

import random
import socket
import struct
import tempfile
import threading
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.output import layouts
from device.panel.leds import PATTERNS, Led, LedState, frame
from provisioning.emulator import card, sound
from provisioning.emulator.card import CardError, CardPartition
from provisioning.emulator.console import Console, Shell, ShellError
from provisioning.emulator.keys import Screen
from provisioning.emulator.leds import Sample, reading
from provisioning.emulator.links import LinkError
from provisioning.emulator.machine import Board, Boot, Drive, command
from provisioning.emulator.pi import Wiring
from provisioning.emulator.report import Steps

EXPECTED = {
    LedState.READY: "steady",
    LedState.LISTENING: "steady",
    LedState.STARTING: "blinking",
    LedState.FINALIZING: "blinking",
    LedState.ON_CPU: "flashes 1",
    LedState.CANNOT_TYPE: "flashes 2",
    LedState.BATTERY_LOW: "flashes 3",
    LedState.MICROPHONE_MISSING: "flashes 4",
    LedState.FAULT: "steady",
}


@settings(max_examples=30)
@given(st.sampled_from(sorted(EXPECTED, key=str)), st.floats(0, 10), st.floats(0.8, 1.5), st.integers(0, 99))
def test_each_state_is_told_from_its_led(state: LedState, begin: float, stretch: float, seed: int) -> None:
    jitter = random.Random(seed)
    times = [begin + n * 0.05 + jitter.uniform(0, 0.02) for n in range(240)]
    seen = [Sample(time, frame({state}, time / stretch, "three")) for time in times]
    led = PATTERNS[state].led.value
    assert reading(seen, led) == EXPECTED[state]
    assert {reading(seen, other.value) for other in Led if other.value != led} == {"dark"}


@given(st.text(st.sampled_from(sorted(set(map(chr, range(32, 127))))), max_size=60))
def test_the_screen_shows_what_the_keyboard_types(text: str) -> None:
    screen = Screen()
    strokes = layouts.strokes(layouts.LAYOUTS["us"])
    for char in text:
        for stroke in strokes[char]:
            held = bool(stroke.modifiers & layouts.SHIFT)
            key = [(_evdev(stroke.usage), 1), (_evdev(stroke.usage), 0)]
            for code, value in [(42, 1), *key, (42, 0)] if held else key:
                screen.key(code, value)
    assert screen.text == text


def _evdev(usage: int) -> int:
    """hid_keyboard[] of Linux's hid-input.c, for the keys of a US keyboard."""
    return [
        30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44,
        2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53,
    ][usage - 4]  # fmt: skip


def test_the_partition_table_is_read() -> None:
    sector = bytearray(512)
    for place, (kind, first, count) in enumerate([(0x0C, 8192, 524288), (0x83, 532480, 100), (0x83, 600000, 50)]):
        struct.pack_into("<B3sB3sII", sector, 446 + 16 * place, 0, b"", kind, b"", first, count)
    sector[510:] = b"\x55\xaa"
    found = card.table(bytes(sector))
    assert found[0] == CardPartition(8192 * 512, 524288 * 512)
    assert found[-1].end == 600050 * 512


@pytest.mark.parametrize("sector", [b"", bytes(512), bytes(510) + b"\x55\xaa"])
def test_what_is_no_card_is_refused(sector: bytes) -> None:
    with pytest.raises(CardError, match="build one with provisioning/build-image"):
        card.table(sector)


@given(st.binary(max_size=4096), st.integers(0, 40))
def test_a_range_is_copied_whatever_is_in_it(data: bytes, before: int) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(bytes(before) + data)
        source.flush()
        card.copy_range(source.fileno(), before, target.fileno(), len(data))
        target.seek(0)
        assert target.read().ljust(len(data), b"\0") == data


def test_a_recording_gets_silence_around_it(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(sound.wav(b"\1\2" * 1600))
    made = sound.padded(file, 0.5, 1.0)
    assert sound.seconds(made) == pytest.approx(1.6)
    assert bytes(16000) + b"\1\2" * 1600 + bytes(32000) in made


def test_a_recording_of_another_rate_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "b.wav"), "wb") as other:
        other.setnchannels(2)
        other.setsampwidth(2)
        other.setframerate(44_100)
    with pytest.raises(ValueError, match="16000 Hz"):
        sound.padded(tmp_path / "b.wav")


def test_steps_are_told_and_timed() -> None:
    said: list[str] = []
    times = iter([0.0, 1.25, 2.0, 4.0])
    steps = Steps(said.append, lambda: next(times))
    with steps.step("boot"):
        steps.remark("LED\n on")
    with pytest.raises(ZeroDivisionError), steps.step("press"):
        raise ZeroDivisionError
    assert said == ["   1.2 s  boot: LED on", "   2.0 s  press  FAILED"]
    assert "| 1.2 | boot | LED on |" in steps.table()


def test_qemu_gets_the_images_own_kernel_and_records_only_when_asked(tmp_path: Path) -> None:
    boot = Boot(Path("/k"), Path("/i"), Path("/t"))
    plain = command(Board(), boot, Drive(Path("/c.qcow2")), tmp_path)
    assert plain[plain.index("-kernel") + 1] == "/k" and plain[plain.index("-initrd") + 1] == "/i"
    assert not any("blklogwrites" in word for word in plain)
    recorded = command(Board(), boot, Drive(Path("/c.img"), tmp_path / "l"), tmp_path)
    assert any("blklogwrites" in word for word in recorded)


def test_the_board_has_eight_pins() -> None:
    wiring = Wiring()
    used = {wiring.button, *wiring.leds}
    assert len(used) == 4 and used <= set(range(8))


def guest(link: socket.socket) -> None:
    """A shell that knows three commands."""
    link.sendall(b"# ")
    file = link.makefile("rw")
    for line in file:
        if line.startswith("{ "):
            body = line[2:].strip()
            link.sendall({"echo hello": b"hello\r\n", "false": b"oh no\n"}.get(body, b""))
            status = 1 if body == "false" else 0
        elif line.startswith("} "):
            mark = "".join(line.split("printf")[1].split()[1:3])
            link.sendall(f"{mark}:{status}:\n".encode())


def test_a_shell_returns_what_a_command_printed_and_raises_when_it_fails() -> None:
    ours, theirs = socket.socketpair()
    threading.Thread(target=guest, args=(theirs,), daemon=True).start()
    shell = Shell(Console(ours))
    shell.wait(5)
    assert shell.run("echo hello", 5) == "hello\n"
    with pytest.raises(ShellError, match="oh no") as caught:
        shell.run("false", 5)
    assert caught.value.status == 1
    assert shell.run("false", 5, check=False) == "oh no\n"
    shell.console.close()


def test_a_console_says_what_was_last_seen_when_it_waits_in_vain() -> None:
    ours, theirs = socket.socketpair()
    console = Console(ours)
    theirs.sendall(b"Kernel panic\n")
    with pytest.raises(LinkError, match="Kernel panic"):
        console.wait("login:", 0.2)
    theirs.close()
    with pytest.raises(LinkError, match="ended first"):
        console.wait("login:", 5)
    console.close()
