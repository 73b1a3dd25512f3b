"""The wiring: its table against gpiozero's own, its picture against the table and against what docs/ shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gpiozero.pins.mock import MockFactory
from hypothesis import given
from hypothesis import strategies as st

from device.config.schema import LedSettings, PanelSettings
from device.drawing.wiring import svg
from device.panel import header

ROOT = Path(__file__).parents[3]
pins = st.integers(0, 27)
panels = st.builds(
    PanelSettings,
    button_pin=pins,
    pull_up=st.booleans(),
    leds=st.builds(LedSettings, kind=st.sampled_from(["three", "rgb", "none"]), pins=st.tuples(pins, pins, pins),
                   active_high=st.booleans()),
)  # fmt: skip


def test_the_header_is_that_of_gpiozero() -> None:
    names = {pin.number: pin.name for pin in MockFactory(revision="c03111").board_info.headers["J8"].pins.values()}
    ours = {"3.3 V": "3V3", "5 V": "5V"}
    expected = [ours.get(name, name.replace(" ", "")) for name in header.HEADER]
    assert [names[number] for number in range(1, 41)] == expected


@given(panels)
def test_every_setting_has_its_wire(panel: PanelSettings) -> None:
    wires = header.wires(panel)
    signals = {(wire.part, wire.terminal): wire.name for wire in wires}
    assert signals["button", "signal"] == f"GPIO {panel.button_pin}"
    for (name, _), bcm in zip(header.leds(panel), panel.leds.pins, strict=False):
        assert signals["LED", name] == f"GPIO {bcm}"
    for wire in wires:
        if wire.terminal in ("ground", "cathodes", "GND"):
            assert wire.name == "GND"
        if wire.terminal in ("3.3 V", "anodes", "VCC"):
            assert wire.name == "3.3 V"
    assert ("button", "ground") in signals or not panel.pull_up
    assert ("LED", "cathodes") in signals or panel.leds.kind == "none" or not panel.leds.active_high


@given(panels)
def test_pins_used_twice_are_told(panel: PanelSettings) -> None:
    used = [panel.button_pin, *(panel.leds.pins if panel.leds.kind != "none" else ())]
    twice = [line for line in header.clashes(panel) if "times" in line]
    assert bool(twice) == (len(set(used)) < len(used))


@given(panels)
def test_every_picture_shows_every_wire(panel: PanelSettings) -> None:
    root = ElementTree.fromstring(svg(panel))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(wire.name in texts for wire in header.wires(panel))
    assert set(map(str, range(1, 41))) <= set(texts)
    wires = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("stroke-width") == "3"]
    assert len(wires) == len(header.wires(panel))
    assert texts.count(f"{header.RESISTOR_OHM} Ω") == len(header.leds(panel))


def test_no_led_is_asked_for_more_than_a_pin_gives() -> None:
    lowest_drop_v, each_ma, together_ma = 1.6, 16, 50
    current = (3.3 - lowest_drop_v) / header.RESISTOR_OHM * 1_000
    assert current < each_ma and 3 * current < together_ma


@pytest.mark.parametrize(("name", "kind"), [("wiring.svg", "three"), ("wiring-rgb.svg", "rgb")])
def test_the_committed_pictures_are_up_to_date(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "defaults.toml").touch()
    command = [sys.executable, "-m", "device.cli", "wiring", "--config", str(tmp_path / "defaults.toml"), "--set",
               f"panel.leds.kind={kind}", "--svg", str(tmp_path / name)]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8")
