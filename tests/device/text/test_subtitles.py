"""Subtitles: every word once and in order, cues that fit and do not overlap, files that their formats allow."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from device.text import subtitles
from device.text.subtitles import LINE, LINES, LONGEST_S, PAUSE_S, Timed, cues

WORD = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=60)


@st.composite
def spoken(draw: st.DrawFn) -> list[Timed]:
    words, now = [], draw(st.floats(0, 100))
    for text in draw(st.lists(WORD, max_size=60)):
        begin = now + draw(st.floats(0, 1.5))
        now = begin + draw(st.floats(0, 2))
        words.append(Timed(text, begin, now))
    return words


@given(spoken())
def test_every_word_is_in_a_cue_that_fits(words: list[Timed]) -> None:
    found = cues(words)
    assert [word for cue in found for line in cue.lines for word in line.split()] == [word.text for word in words]
    for cue in found:
        count = sum(len(line.split()) for line in cue.lines)
        assert all(len(line) <= LINE or len(line.split()) == 1 for line in cue.lines)
        assert count == 1 or (len(cue.lines) <= LINES and cue.end - cue.start <= LONGEST_S)


@given(spoken())
def test_cues_do_not_overlap_and_begin_with_their_first_word(words: list[Timed]) -> None:
    found = cues(words)
    begins = {word.start for word in words}
    assert all(cue.start in begins and cue.start <= cue.end for cue in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@given(spoken())
def test_no_cue_goes_over_a_long_pause(words: list[Timed]) -> None:
    for before, after in pairwise(words):
        if after.start - before.end >= PAUSE_S:
            assert any(cue.start == after.start for cue in cues(words))


def test_a_long_sentence_is_cut_where_the_speaker_paused() -> None:
    said = "we went down to the harbour, and when the last boat had left we walked back over the hills to the village"
    words, now = [], 0.0
    for word in said.split():
        now += 0.4 if word == "and" else 0.05
        words.append(Timed(word, now, now + 0.2))
        now += 0.2
    first, second = cues(words)
    assert first.lines == ("we went down to the harbour,",)
    assert second.lines == ("and when the last boat had left we walked", "back over the hills to the village")


@given(spoken())
def test_files_have_the_form_of_their_formats(words: list[Timed]) -> None:
    srt, vtt = subtitles.srt(cues(words)), subtitles.vtt(cues(words))
    numbers = re.findall(r"^(\d+)\n\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}$", srt, re.M)
    assert numbers[: len(cues(words))] == [str(number + 1) for number in range(len(cues(words)))]
    header, *blocks = vtt.split("\n\n")
    assert header == "WEBVTT" and vtt.endswith("\n\n")
    for block in blocks[:-1]:
        clock, *lines = block.split("\n")
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}", clock)
        assert lines and not any("<" in line or "-->" in line for line in lines)
