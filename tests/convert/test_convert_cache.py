"""Stages are kept by what they were made from, and never in part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convert.cache import PART, Cache


def put(text: str) -> object:
    return lambda out: Path(out, "text").write_text(text)


def test_kept_until_an_input_changes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    cache, made = Cache(tmp_path / "cache"), []

    def make(out: Path) -> None:
        made.append(source.read_text())
        (out / "text").write_text(source.read_text())

    inputs = {"source": source, "setting": 1}
    first = cache.get("stage", inputs, make)
    assert cache.get("stage", inputs, make) == first
    source.write_text("two")
    assert not cache.has("stage", inputs)
    assert (cache.get("stage", inputs, make) / "text").read_text() == "two"
    cache.get("stage", {**inputs, "setting": 2}, make)
    source.write_text("one")
    assert cache.get("stage", inputs, make) == first
    assert made == ["one", "two", "two"]


def test_a_failed_stage_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(out: Path) -> None:
        (out / "half").write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        cache.get("stage", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_swept_and_what_a_live_one_does_is_not(tmp_path: Path) -> None:
    dead, alive = tmp_path / f"{PART}999999999-stage", tmp_path / f"{PART}{os.getppid()}-stage"
    for part in (dead, alive):
        part.mkdir()
    Cache(tmp_path).get("stage", {}, put("x"))  # type: ignore[arg-type]
    assert not dead.exists()
    assert alive.exists()


def test_only_the_newest_results_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    places = [cache.get("stage", {"n": n}, put(str(n))) for n in range(9)]  # type: ignore[arg-type]
    left = set(tmp_path.iterdir())
    assert places[-1] in left
    assert 1 < len(left) < 9
