"""What was measured, to JSON and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_reports import LIFE, report
from hypothesis import given
from hypothesis import strategies as st

from device.bench import record
from device.bench.record import Listening, Measurement, RecordError, Utterance, load, save
from models import typed

numbers = st.floats(allow_nan=False, allow_infinity=False)
several = st.lists(numbers, max_size=5).map(tuple)
named = st.dictionaries(st.text(max_size=5), numbers, max_size=3)
utterances = st.builds(Utterance, numbers, several, st.none() | numbers, several, numbers, st.text())
listenings = st.builds(
    Listening,
    st.lists(utterances, max_size=3).map(tuple),
    numbers,
    numbers,
    st.integers(),
    st.integers(),
    several,
    several,
    st.none() | numbers,
    named,
)
measurements = st.builds(
    Measurement,
    st.text(),
    st.integers(),
    numbers,
    st.integers(),
    st.integers(),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.none() | listenings,
    listenings,
)


@given(measurements)
def test_a_measurement_survives_json(measured: Measurement) -> None:
    again = typed.read(Measurement, json.loads(json.dumps(dataclasses.asdict(measured))), "measured", whole=True)
    assert again == measured


@pytest.mark.parametrize("life", [None, LIFE])
def test_a_report_survives_its_file(tmp_path: Path, life: record.BatteryLife | None) -> None:
    made = report({"a": 0.01, "whole b": 0.02}, joules=3.0, battery=life)
    save(made, tmp_path / "bench.json")
    assert load(tmp_path / "bench.json") == made
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of parsed JSON are."""
    inside = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


RAW = json.loads(json.dumps(record.dataclasses.asdict(report({"a": 0.01}, drift=(1.0,), battery=LIFE))))
OPEN = {"libraries", "versions", "unmeasured", "counters"}
"""Objects whose keys are free."""


@given(place=st.sampled_from([place for place in places(RAW) if place]))
def test_a_value_of_another_kind_is_named(place: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    raw = json.loads(json.dumps(RAW))
    inside = raw
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = {"un": ["expected"]}
    file = tmp_path_factory.mktemp("altered") / "bench.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(RecordError) as error:
        load(file)
    said = str(error.value)
    assert "\n" not in said and str(file) in said and "make it again" in said


@given(place=st.sampled_from([p for p in places(RAW) if p and isinstance(p[-1], str) and not OPEN & set(p[:-1])]))
def test_a_missing_key_is_named(place: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    raw = json.loads(json.dumps(RAW))
    inside = raw
    for key in place[:-1]:
        inside = inside[key]
    del inside[place[-1]]
    file = tmp_path_factory.mktemp("altered") / "bench.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(RecordError, match=r"is missing|format"):
        load(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "not JSON"), ("[1]", "must be a table"), ("{}", "format"), ('{"format": 99}', "format 1, not 99")],
)
def test_what_is_no_report_is_refused(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(content)
    with pytest.raises(RecordError, match=said):
        load(file)


def test_a_disk_that_refuses_keeps_the_last_report(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="name another place"):
        save(report({"a": 0.01}), tmp_path / "missing" / "bench.json")
