"""Edit distance and agreement, checked against their definitions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.quality import agreement, recordings
from models.bundle import Window

tokens = st.lists(st.integers(0, 3), max_size=8)


@given(tokens, tokens)
def test_edits_is_the_levenshtein_distance(first: list[int], second: list[int]) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        )

    assert agreement.edits(first, second) == distance(len(first), len(second))


def test_agreement_counts_frames_and_tokens() -> None:
    reference = np.eye(4, dtype=np.float32)[[0, 3, 1, 1, 2]]
    other = np.eye(4, dtype=np.float32)[[0, 3, 1, 2, 2]]
    found = agreement.compare([(reference, other), (reference, reference[:4])], silent=[3])
    assert found.frames == pytest.approx(8 / 9)
    assert (found.changed, found.tokens) == (pytest.approx(1 / 6), 6)


@given(st.integers(1, 700), st.sampled_from([(256, 2, 96, 80), (64, 4, 16, 32), (32, 2, 32, 0)]))
def test_windows_give_every_posterior_once_and_in_place(length: int, shape: tuple[int, int, int, int]) -> None:
    frames, stride, hop, right = shape
    mel = np.arange(length, dtype=np.float32)[:, None]
    kept = []
    for piece, keep in recordings.windows(mel, Window(frames, stride, hop, right, hop, right), silence=-1.0):
        assert piece.shape == (frames, 1)
        kept += piece[::stride, 0][keep].tolist()
    expected = [float(n) for n in range(0, length, stride)]
    assert kept[: len(expected)] == expected
    assert len(kept) == -(-length // stride)


def test_without_recordings_there_are_no_words_to_check(tmp_path: Path) -> None:
    found = recordings.gather(tmp_path, testdata=tmp_path / "none")
    assert found.folder is None
    assert "pocketsphinx-testdata" in found.source
