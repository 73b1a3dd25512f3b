"""Gestures: clean presses, bouncing contacts, and what must hold whatever the user does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.panel.gestures import STUCK_S, TAP_S, Gesture, Gestures

BEGIN, END, CANCEL, DELETE = Gesture.BEGIN, Gesture.END, Gesture.CANCEL, Gesture.DELETE
ARM, DISARM, SHUTDOWN = Gesture.ARM, Gesture.DISARM, Gesture.SHUTDOWN


def run(mode: Any, edges: list[tuple[float, bool]], until: float = 1_000.0) -> list[Gesture]:
    """What gestures come of the levels at these times, the clock calling at every deadline."""
    gestures = Gestures(mode, debounce=0.02, double_tap=0.4, shutdown_press=5.0)
    found: list[Gesture] = []
    for now, level in [*edges, (until, edges[-1][1] if edges else False)]:
        while (due := gestures.deadline) is not None and due < now:
            found += gestures.tick(due)
        found += gestures.feed(now, level)
    return found


def presses(*lengths_and_gaps: float) -> list[tuple[float, bool]]:
    """Edges of presses: pressed for the first number, released for the second, and so on."""
    edges, now = [], 1.0
    for i, length in enumerate(lengths_and_gaps):
        edges.append((now, i % 2 == 0))
        now += length
    return [*edges, (now, len(lengths_and_gaps) % 2 == 0)]


@pytest.mark.parametrize(
    ("mode", "pattern", "expected"),
    [
        ("hold", (2.0,), [BEGIN, END]),
        ("hold", (0.1,), [BEGIN, CANCEL]),
        ("hold", (0.1, 0.1, 0.1), [BEGIN, CANCEL, BEGIN, CANCEL, DELETE]),
        ("hold", (0.1, 1.0, 0.1), [BEGIN, CANCEL, BEGIN, CANCEL]),
        ("hold", (0.1, 0.1, 3.0), [BEGIN, CANCEL, BEGIN, END]),
        ("hold", (0.1, 0.1, 0.1, 0.1, 0.1), [BEGIN, CANCEL, BEGIN, CANCEL, DELETE, BEGIN, CANCEL]),
        ("hold", (5.5,), [BEGIN, ARM, END, SHUTDOWN]),
        ("hold", (4.99,), [BEGIN, END]),
        ("toggle", (0.1,), [BEGIN]),
        ("toggle", (1.0,), [BEGIN]),
        ("toggle", (0.1, 3.0, 0.1), [BEGIN, END]),
        ("toggle", (0.1, 3.0, 0.1, 0.1, 0.1), [BEGIN, END, BEGIN, CANCEL, DELETE]),
        ("toggle", (0.1, 0.1, 0.1), [BEGIN, CANCEL, DELETE]),
        ("toggle", (0.1, 0.1, 2.0), [BEGIN, END]),
        ("toggle", (6.0,), [BEGIN, ARM, END, SHUTDOWN]),
        ("toggle", (0.1, 3.0, 6.0), [BEGIN, END, ARM, SHUTDOWN]),
        ("hold", (0.01,), []),
    ],
)
def test_presses(mode: str, pattern: tuple[float, ...], expected: list[Gesture]) -> None:
    assert run(mode, presses(*pattern)) == expected


def test_a_button_held_down_for_ever_does_not_switch_off() -> None:
    assert run("hold", [(1.0, True)], until=10_000) == [BEGIN, ARM, DISARM]


@pytest.mark.parametrize(("mode", "ends"), [("hold", [END]), ("toggle", [])])
def test_a_stuck_button_that_comes_free_does_not_switch_off(mode: str, ends: list[Gesture]) -> None:
    """Something lay on it for longer than anybody would hold it."""
    assert run(mode, presses(5.0 + STUCK_S + 1)) == [BEGIN, ARM, DISARM, *ends]
    assert run(mode, presses(5.0 + STUCK_S - 1)) == [BEGIN, ARM, END, SHUTDOWN]
    assert run(mode, presses(900.0)) == [BEGIN, ARM, DISARM, *ends]


def test_a_long_dictation_does_not_switch_off() -> None:
    gestures = Gestures("hold", 0.02, 0.4, 5.0)
    found = gestures.feed(0, True) + gestures.tick(0.1) + gestures.speech_detected() + gestures.tick(30)
    assert found + gestures.feed(60, False) + gestures.tick(60.1) == [BEGIN, END]


def test_speaking_after_a_long_silence_is_a_dictation() -> None:
    gestures = Gestures("hold", 0.02, 0.4, 5.0)
    found = gestures.feed(0, True) + gestures.tick(0.1) + gestures.tick(7) + gestures.speech_detected()
    assert found + gestures.feed(9, False) + gestures.tick(9.1) == [BEGIN, ARM, DISARM, END]


def test_listening_that_failed_is_not_ended_by_the_button() -> None:
    gestures = Gestures("toggle", 0.02, 0.4, 5.0)
    assert gestures.feed(0, True) + gestures.tick(0.1) + gestures.feed(0.15, False) == [BEGIN]
    gestures.stopped()
    assert gestures.feed(2, True) + gestures.tick(2.1) == [BEGIN]


lengths = st.floats(0.05, 7.0).filter(lambda s: min(abs(s - limit) for limit in (TAP_S, 0.4, 5.0)) > 0.03)
patterns = st.lists(lengths, min_size=1, max_size=12)


@given(mode=st.sampled_from(["hold", "toggle"]), pattern=patterns, data=st.data())
def test_bouncing_contacts_change_nothing(mode: str, pattern: list[float], data: st.DataObject) -> None:
    clean = presses(*pattern)
    bouncing = []
    for now, level in clean:
        widths = data.draw(st.lists(st.floats(1e-4, 0.0024), max_size=4))
        for width in widths:
            bouncing += [(now, level), (now + width / 2, not level)]
            now += width
        bouncing.append((now, level))
    assert run(mode, bouncing) == run(mode, clean)


@given(mode=st.sampled_from(["hold", "toggle"]), edges=st.lists(st.tuples(st.floats(0, 60), st.booleans())))
def test_every_talk_that_begins_ends_once(mode: str, edges: list[tuple[float, bool]]) -> None:
    found = run(mode, [*sorted(edges), (100.0, False)])
    talks = [gesture for gesture in found if gesture in (BEGIN, END, CANCEL)]
    assert all(gesture is BEGIN for gesture in talks[::2])
    assert all(gesture in (END, CANCEL) for gesture in talks[1::2])
    if mode == "hold":
        assert len(talks) % 2 == 0, "nothing listens while the button is up"


@given(mode=st.sampled_from(["hold", "toggle"]), pattern=patterns)
def test_only_an_armed_press_switches_off(mode: str, pattern: list[float]) -> None:
    found = run(mode, presses(*pattern))
    for before, gesture in zip([None, *found], found, strict=False):
        if gesture is SHUTDOWN:
            assert before in (ARM, END)
    assert found.count(SHUTDOWN) == sum(5 <= length < 5 + STUCK_S for length in pattern[::2])


@given(pattern=patterns)
def test_ticking_more_often_changes_nothing(pattern: list[float]) -> None:
    edges = presses(*pattern)
    often = sorted(
        [
            *edges,
            *((t / 50, next(level for at, level in reversed(edges) if at <= t / 50)) for t in range(51, 2_000)),
        ]
    )
    assert run("hold", often) == run("hold", edges)
