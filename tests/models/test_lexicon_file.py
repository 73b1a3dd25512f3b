"""lexicon.npz: what is not exactly as it is written is refused in one line, for C reads it by its addresses."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.asr import beam_search
from models.lexicon import Lexicon, LexiconError

WHOLE = Lexicon.of([("a", (0,)), ("b", (1, 2)), ("b", (1,))], [-1.0, -2.0, -3.0])


def content(lexicon: Lexicon) -> bytes:
    stream = io.BytesIO()
    text = np.frombuffer(lexicon.text, np.uint8)
    np.savez(stream, words=text, ends=lexicon.ends, tokens=lexicon.tokens, scores=lexicon.scores)
    return stream.getvalue()


def test_what_is_written_is_taken(tmp_path: Path) -> None:
    WHOLE.save(tmp_path / "l.npz")
    assert list(Lexicon.load(tmp_path / "l.npz")) == list(WHOLE)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("ends", lambda array: array.reshape(-1, 1)),
        ("ends", lambda array: array.astype(np.float32)),
        ("ends", lambda array: array.astype(np.int64)),
        ("ends", lambda array: array.astype(">i4")),
        ("ends", lambda array: array[:0]),
        ("ends", lambda array: array[0]),
        ("ends", lambda array: -array),
        ("ends", lambda array: array[::-1]),
        ("ends", lambda array: array + np.int32(1)),
        ("scores", lambda array: np.zeros((len(array), 0), np.float32)),
        ("scores", lambda array: array.astype(np.float64)),
        ("scores", lambda array: array * np.float32(np.nan)),
        ("scores", lambda array: array[:-1]),
        ("tokens", lambda array: np.zeros((len(array), 0), np.uint16)),
        ("tokens", lambda array: array.astype(np.uint8)),
        ("tokens", lambda array: array[:-1]),
        ("text", lambda text: text + b"\nc"),
        ("text", lambda text: b""),
        ("text", lambda text: b"\xff" + text),
    ],
)
def test_parts_of_another_shape_or_type_are_refused(
    tmp_path: Path, part: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    lexicon = replace(WHOLE, **{part: change(getattr(WHOLE, part))})
    (tmp_path / "l.npz").write_bytes(content(lexicon))
    with pytest.raises(LexiconError, match=r"l\.npz: not a lexicon .*; build the bundle again") as caught:
        Lexicon.load(tmp_path / "l.npz")
    assert "\n" not in str(caught.value)
    language = object.__new__(beam_search.Language)  # is not looked at: what is refused never reaches C
    with pytest.raises(beam_search.SearchError, match="build the bundle again"):
        beam_search.WordGraph(language, lexicon.text, lexicon.ends, lexicon.tokens, lexicon.scores, 3, 6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=5), cut=st.integers(0, 2_000))
def test_a_damaged_file_is_refused_or_a_lexicon(tmp_path: Path, damage: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(content(WHOLE))
    for place, value in damage:
        data[place % len(data)] = value
    (tmp_path / "l.npz").write_bytes(data[:cut] if cut < 200 else data)
    try:
        lexicon = Lexicon.load(tmp_path / "l.npz")
    except LexiconError as error:
        assert "\n" not in str(error)
    else:
        assert not lexicon.problem() and len(list(lexicon)) == len(lexicon)


COLLIDE = ("plumless", "buckeroo")  # their CRC-32 is the same


@given(
    st.lists(st.tuples(st.sampled_from(["a", "to", "é", *COLLIDE]), st.lists(st.integers(0, 9)).map(tuple)), min_size=1)
)
def test_all_spellings_of_a_word_are_found_and_no_others(rows: list[tuple[str, tuple[int, ...]]]) -> None:
    lexicon = Lexicon.of(rows, [-1.0] * len(rows))
    for word in ("a", "to", "é", *COLLIDE, "", "of"):
        assert lexicon.spellings(word) == tuple(spelling for other, spelling in rows if other == word)
