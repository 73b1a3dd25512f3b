"""The report for people: its tables, its page, its pictures, and two reports compared."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest
from benchmark_reports import LIFE, MACHINE, measurement, report

from device.bench import compare, page, plots, table
from device.bench.record import BenchReport, CaseRow, WordErrors

FULL = report({"onnx": 0.02, "own": 0.01, "whole": 0.1}, joules=5.0)
SWEPT = dataclasses.replace(
    FULL,
    rows=(
        *FULL.rows,
        *(
            CaseRow(name, sweep, f"{sweep} case", "own", "", WordErrors(0.2, 100, 20, 0, 0))
            for name, sweep in (("w1", "windows"), ("c1", "capture"), ("r1", "realtime"))
        ),
    ),
    measurements=(*FULL.measurements, *(measurement(name, 1, 0.01) for name in ("w1", "c1", "r1"))),
)
NOTHING = BenchReport.empty()


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>"))


@pytest.mark.parametrize("made", [FULL, SWEPT, report({}), NOTHING], ids=["full", "swept", "nothing", "empty"])
def test_the_page_is_well_formed_and_needs_nothing_else(made: BenchReport) -> None:
    made = made if made.machine.load else dataclasses.replace(made, machine=MACHINE)
    text = page.html(made)
    tags = {element.tag.rpartition("}")[2] for element in parsed(text).iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "use", "foreignObject"}
    elsewhere = re.findall(r"(?:src|href|url|@import)\s*[=(]|//(?!www\.w3\.org/2000/svg)", text)
    assert not elsewhere


def test_the_page_says_what_was_and_was_not_measured() -> None:
    said = "".join(parsed(page.html(SWEPT)).itertext())
    for text in (
        "Engine <own>",
        "Test <board> & co",
        "no Edge TPU: none found",
        "no watts were measured",
        "numpy 1.26.4",
        "the article's",
        "windows case",
        "capture case",
        "realtime case",
        "Power at a microphone's pace",
    ):
        assert text in said, text


def test_the_page_names_the_source_of_the_battery_hours() -> None:
    said = "".join(parsed(page.html(dataclasses.replace(FULL, battery=LIFE))).itertext())
    assert "8.0 h from 20 Wh, dictating 25 % of the time: computed from 4.00 W dictating and 2.00 W waiting" in said


@pytest.mark.parametrize("draw", [plots.latency, plots.errors, plots.energy, plots.summary, plots.windows])
def test_pictures_are_well_formed_and_titled(draw: object) -> None:
    text = draw(SWEPT)  # type: ignore[operator]
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img" and root.attrib["aria-label"]
    assert "var(" not in text, "renderers that know no CSS variables paint it black"


def test_what_was_not_measured_is_not_drawn() -> None:
    dry = report({"a": 0.01})
    assert plots.energy(dry) == "" and plots.windows(dry) == "" and plots.latency(report({"whole": 0.1})) == ""


def test_tables_have_every_configuration_and_a_dash_for_what_is_missing() -> None:
    latency = table.latency(FULL)
    assert [row[0] for row in latency.rows] == ["Engine <onnx>", "Engine <own>", "Engine <whole>"]
    assert latency.rows[2][1:5] == ["–"] * 4 and latency.rows[0][1] != "–"
    (own,) = [row for row in table.ratios(FULL).rows if row[0] == "Engine <own>"]
    assert own[1] == "0.50 [0.50, 0.50]"
    for made in table.tables(SWEPT):
        assert all(len(row) == len(made.heads) for row in made.rows)
    assert "Engine <own>" in table.plain(SWEPT)


def test_a_report_compared_with_itself_differs_in_nothing() -> None:
    lines = list(compare.lines(FULL, FULL))
    assert "  load before: 0.50 0.40 0.30 -> 0.50 0.40 0.30" in lines
    assert any(re.search(r"CPU s per s of speech\s+own\s+1\.00 \[0\.53, 1\.88\]", line) for line in lines), lines
    assert any(re.search(r"word error rate\s+own\s+\+0\.0 points", line) for line in lines)


def test_what_differs_is_told_before_the_numbers() -> None:
    machine = dataclasses.replace(MACHINE, model="another", libraries={"numpy": "2.0", "soxr": "1"})
    speech = dataclasses.replace(FULL.speech, source="other clips")
    other = report({"own": 0.005}, machine=machine, speech=speech)
    lines = list(compare.lines(FULL, other))
    told = "\n".join(lines)
    assert "model: Test <board> & co -> another" in told
    assert "numpy: 1.26.4 -> 2.0" in told and "soxr: none -> 1" in told
    assert "speech: two clips -> other clips: the numbers below are not of the same work" in told
    assert any(re.search(r"CPU s per s of speech\s+own\s+0\.50 ", line) for line in lines)
    assert not any("onnx" in line for line in lines[8:])


def test_reports_with_nothing_in_common_say_so() -> None:
    assert "both measured nothing" in "\n".join(compare.lines(FULL, report({"other": 0.1})))
