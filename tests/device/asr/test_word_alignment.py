"""Pauses and times carried from one recogniser's words to another's."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from device.asr.word_alignment import carried_pauses, carried_times, edits, places

WORDS = st.lists(
    st.sampled_from(["a", "an", "the", "men", "Man,", "shook", "hands.", "25", "two"]), min_size=1, max_size=12
)


def test_the_word_after_a_pause_keeps_it() -> None:
    old = "the two men shook hands new line for the twentieth time".split()
    new = "The two men shook hands. New line. For the 20th time".split()
    assert carried_pauses(old, new, (5, 7)) == (5, 7)
    assert carried_pauses(old, ["Well,", *new], (5, 7)) == (6, 8)
    assert carried_pauses(old, new[2:], (2, 5)) == (3,)
    assert carried_pauses("twenty five men".split(), "25 men.".split(), (2,)) == (1,)


def test_times_follow_the_words() -> None:
    times = ((0.0, 0.2), (0.2, 0.5), (0.8, 1.0))
    assert carried_times("one two three".split(), "One, two. Three!".split(), times) == times
    assert carried_times("one two three".split(), "One three".split(), times) == (times[0], times[2])
    assert carried_times("no notes".split(), "No".split(), ()) == ()


@given(WORDS, WORDS)
def test_gaps_keep_their_order_and_reach_from_end_to_end(old: list[str], new: list[str]) -> None:
    found = places(old, new)
    assert len(found) == len(old) + 1 and found[0] == 0 and found[-1] == len(new)
    assert found == sorted(found)


@given(WORDS)
def test_words_of_their_own_are_where_they_were(words: list[str]) -> None:
    assert places(words, [word.upper() for word in words]) == list(range(len(words) + 1))
    assert edits(words, [f"{word}!" for word in words]) == 0


@given(WORDS, WORDS, st.sets(st.integers(1, 11)))
def test_pauses_are_places_between_words(old: list[str], new: list[str], at: set[int]) -> None:
    carried = carried_pauses(old, new, sorted(pause for pause in at if pause < len(old)))
    assert list(carried) == sorted(set(carried)) and all(0 < pause < len(new) for pause in carried)


@given(WORDS, WORDS, st.lists(st.floats(0.01, 1.0), min_size=24, max_size=24))
def test_every_word_has_a_time_and_they_follow_each_other(old: list[str], new: list[str], steps: list[float]) -> None:
    edges, now = [], 0.0
    for step in steps:
        now += step
        edges.append(now)
    times = tuple(zip(edges[::2], edges[1::2], strict=True))[: len(old)]
    carried = carried_times(old, new, times)
    assert len(carried) == len(new)
    assert all(begin <= end for begin, end in carried) and all(a[1] <= b[0] + 1e-9 for a, b in pairwise(carried))
    assert carried[0][0] >= times[0][0] and carried[-1][1] <= times[-1][1]


@given(WORDS, WORDS)
def test_the_edit_distance_is_one(old: list[str], new: list[str]) -> None:
    assert edits(old, new) == edits(new, old) <= max(len(old), len(new))
    assert edits(old, new) >= abs(len(old) - len(new)) and edits([], new) == len(new)
