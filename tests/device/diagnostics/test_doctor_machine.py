"""What the doctor finds on machines that are well and ill: a virtual sound card, mock pins, sysfs folders."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from device.cli import doctor
from device.config import schema
from device.diagnostics.audio import microphone_checks
from device.diagnostics.check import Check, CheckState, Operator
from device.diagnostics.doctor import GROUPS
from device.diagnostics.machine import card_checks, clock_check, disk_check, keyboard_check, meter_checks
from device.diagnostics.panel import panel_checks

SPEECH = np.random.default_rng(1).normal(0, 2_000, 64_000)
MIC = schema.AudioSettings(device="virtual", retry_s=0.1)


class StuckPin(MockPin):
    """A pin that something holds at ground."""

    def _get_state(self) -> bool:
        return False


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_good_microphone(sound_card: Callable[..., Any]) -> None:
    sound_card(SPEECH, speed=8)
    found = by_name(list(microphone_checks(MIC, None)))
    assert {check.state for check in found.values()} == {CheckState.GOOD}
    assert found["microphone"].detail == "Virtual mic"
    assert "-24 dBFS" in found["level"].detail


def test_a_microphone_without_16_khz_is_noted(sound_card: Callable[..., Any]) -> None:
    sound_card(SPEECH, rate=48_000, speed=8)
    check = by_name(list(microphone_checks(MIC, None)))["sample rate"]
    assert check.state is CheckState.NOTE and "48000 Hz" in check.detail and check.advice


@pytest.mark.parametrize(("sound", "word"), [(np.zeros(64_000), "silence"), (30_000 * np.sign(SPEECH), "clipping")])
def test_a_level_that_is_wrong(sound_card: Callable[..., Any], sound: np.ndarray, word: str) -> None:
    sound_card(sound, speed=8)
    check = by_name(list(microphone_checks(MIC, None)))["level"]
    assert check.state is CheckState.BAD and word in check.detail and "alsamixer" in check.advice


def test_a_missing_microphone(sound_card: Callable[..., Any]) -> None:
    sound_card(SPEECH)
    (check,) = microphone_checks(schema.AudioSettings(device="Yeti"), None)
    assert check.state is CheckState.BAD and "Yeti" in check.detail and "Virtual mic" in check.advice


def test_the_panel_with_a_patient() -> None:
    factory = MockFactory()
    asked: list[str] = []

    def press() -> None:
        time.sleep(0.2)
        pin = factory.pin(17)
        for action in (pin.drive_low, pin.drive_high, pin.drive_low, pin.drive_high):
            action()

    def tell(text: str) -> None:
        if "press the button" in text:
            threading.Thread(target=press).start()

    def agree(question: str) -> bool:
        asked.append(question)
        return "fault" not in question

    checks = list(panel_checks(schema.PanelSettings(pins="mock"), Operator(tell, agree), lambda panel: factory))
    found = by_name(checks)
    assert len(asked) == 3
    assert found["LED ready"].state is CheckState.GOOD
    assert found["LED fault"].state is CheckState.BAD and "active_high" in found["LED fault"].advice
    assert found["press"].state is CheckState.GOOD


def test_a_button_that_is_not_pressed_and_one_that_is_stuck() -> None:
    settings = schema.PanelSettings(pins="mock", leds=schema.LedSettings(kind="none"))
    operator = Operator(lambda text: None, lambda question: True)
    found = by_name(list(panel_checks(settings, operator, lambda panel: MockFactory(), seconds=0.2)))
    assert found["button"].state is CheckState.GOOD
    assert found["press"].state is CheckState.BAD and "ground" in found["press"].advice
    stuck = by_name(list(panel_checks(settings, None, lambda panel: MockFactory(pin_class=StuckPin))))
    assert stuck["button"].state is CheckState.BAD and "pull_up" in stuck["button"].advice


def test_pins_that_cannot_be_used() -> None:
    (check,) = panel_checks(schema.PanelSettings(chip=9), None)
    assert check.state is CheckState.BAD and "group gpio" in check.advice


def test_the_meter(tmp_path: Path) -> None:
    nothing = by_name(list(meter_checks(schema.PowerSettings(), tmp_path)))
    assert nothing["meter"].state is nothing["supply"].state is CheckState.NOTE
    assert "not measured" in nothing["supply"].detail
    folder = tmp_path / "class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    for name, text in {"name": "ina219", "in1_input": "3900", "curr1_input": "600"}.items():
        (folder / name).write_text(text + "\n")
    firmware = tmp_path / "devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    found = by_name(list(meter_checks(schema.PowerSettings(), tmp_path)))
    assert "3.90 V, 2.34 W" in found["meter"].detail
    assert found["battery"].state is CheckState.GOOD and found["battery"].detail == "71 %, discharging"
    assert found["supply"].state is CheckState.BAD and "under-voltage (now)" in found["supply"].detail
    (folder / "in1_input").write_text("5080\n")
    assert by_name(list(meter_checks(schema.PowerSettings(), tmp_path)))["battery"].state is CheckState.NOTE
    (folder / "in1_input").write_text("3900\n")
    (folder / "curr1_input").write_text("0\n")
    assert "not measured" in by_name(list(meter_checks(schema.PowerSettings(), tmp_path)))["battery"].detail


def test_the_keyboard(tmp_path: Path) -> None:
    assert keyboard_check(schema.KeyboardSettings(path=tmp_path / "hidg0")).state is CheckState.BAD
    os.mkfifo(tmp_path / "hidg0")
    assert keyboard_check(schema.KeyboardSettings(path=tmp_path / "hidg0")).state is CheckState.GOOD
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path, Path("/dev/null")):
        assert "no USB keyboard" in keyboard_check(schema.KeyboardSettings(path=path)).detail


def test_disk_and_clock(tmp_path: Path) -> None:
    assert disk_check(tmp_path / "not" / "yet", needed_mb=0).state is CheckState.GOOD
    full = disk_check(tmp_path, needed_mb=1e12)
    assert full.state is CheckState.BAD and "MB free" in full.detail
    assert clock_check(now=2e9, built=1e9).state is CheckState.GOOD
    assert clock_check(now=0, built=1e9).state is CheckState.NOTE


def test_the_command(sound_card: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound_card(SPEECH, speed=8)
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    settings = ["audio.device=Virtual", "panel.enabled=false", f"bundle.dir={tmp_path}", "realtime.enabled=false"]
    args = parser.parse_args(["doctor", *(f"--set={setting}" for setting in settings)])
    assert args.run(args) == 1
    out = capsys.readouterr().out
    assert "Microphone:\n  ok    microphone: Virtual mic" in out and "fault bundle:" in out
    assert [line[:-1] for line in out.splitlines() if not line.startswith(" ")] == list(GROUPS)


def test_what_was_not_taken_of_the_card_is_a_fault() -> None:
    (check,) = card_checks(("dictation.toml:2: audio.rat: no such key; nearest: audio.rate",), True)
    assert check.state is CheckState.BAD and "audio.rat" in str(check)


@pytest.mark.parametrize(("applied", "state"), [(True, CheckState.GOOD), (False, CheckState.NOTE)])
def test_a_card_without_a_fault_has_a_line_too(applied: bool, state: CheckState) -> None:
    (check,) = card_checks((), applied)
    assert check.state is state
