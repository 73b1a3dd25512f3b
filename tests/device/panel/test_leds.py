"""The table of lights: every state can be told from every other, on three LEDs and on one."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.drawing.leds import svg
from device.panel.leds import PATTERNS, Frame, Kind, Led, LedState, Pattern, frame, next_change, shown

README = Path(__file__).parents[3]
states = st.sets(st.sampled_from(LedState))


def film(on: set[LedState], kind: Kind) -> list[Frame]:
    """Twelve seconds of the LEDs, 50 frames a second."""
    return [frame(on, i / 50 + 1e-6, kind) for i in range(600)]


def test_every_state_has_a_pattern() -> None:
    assert set(PATTERNS) == set(LedState)


@pytest.mark.parametrize("kind", ["three", "rgb"])
def test_no_two_states_look_alike(kind: Kind) -> None:
    for one, other in combinations(LedState, 2):
        assert film({one}, kind) != film({other}, kind), f"{one} looks like {other}"


@pytest.mark.parametrize("kind", ["three", "rgb"])
@pytest.mark.parametrize("activity", [LedState.READY, LedState.LISTENING, LedState.FINALIZING])
def test_what_is_wrong_is_seen_beside_what_is_done(kind: Kind, activity: LedState) -> None:
    for wrong in (state for state, pattern in PATTERNS.items() if pattern.wrong):
        both = film({activity, wrong}, kind)
        assert both != film({activity}, kind)
        if kind == "three":
            assert both != film({wrong}, kind)
            led = PATTERNS[activity].led.value
            assert [f[led] for f in both] == [f[led] for f in film({activity}, kind)]


def test_the_worst_is_shown() -> None:
    assert shown(set(LedState))[-1] is PATTERNS[LedState.FAULT]
    assert shown({LedState.ON_CPU, LedState.CANNOT_TYPE})[-1] is PATTERNS[LedState.CANNOT_TYPE]


@given(on=states, kind=st.sampled_from(["three", "rgb"]), now=st.floats(0, 1_000))
def test_nothing_changes_before_the_next_change(on: set[LedState], kind: Kind, now: float) -> None:
    change = next_change(on, now)
    until = now + 10 if change is None else change
    assert until > now
    for share in (0.25, 0.5, 0.75):
        between = now + share * (until - now)
        if until - now > 0.004:
            assert frame(on, between, kind) == frame(on, now, kind)


@given(rhythm=st.lists(st.integers(1, 2_000), min_size=1, max_size=7), now=st.floats(0, 100))
def test_a_rhythm_repeats(rhythm: list[int], now: float) -> None:
    pattern = Pattern(Led.FAULT, PATTERNS[LedState.FAULT].colour, tuple(rhythm), True, "")
    now = round(now, 3)
    assert pattern.lit(now) == pattern.lit(now + pattern.period)
    assert (pattern.change(now) is None) == (len(rhythm) == 1)


def test_the_picture_shows_the_table() -> None:
    root = ElementTree.fromstring(svg(PATTERNS))
    texts = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {state.value for state in LedState} <= texts
    blinks = root.findall(".//{http://www.w3.org/2000/svg}animate")
    assert len(blinks) == 2 * sum(len(pattern.rhythm) > 1 for pattern in PATTERNS.values())


def test_the_committed_picture_is_up_to_date() -> None:
    assert (README / "docs" / "leds.svg").read_text(encoding="utf-8") == svg(PATTERNS)
