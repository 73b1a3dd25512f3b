"""The shapes of charts: axes that keep their order, pictures that are well-formed whatever the words."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from device.drawing.svg import COLOURS, OTHER, Axis, Place, across, apart, box, dot, picture, spanning, text, upright

positive = st.floats(1e-6, 1e9)
words = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co"]))


@given(st.lists(positive, min_size=1, max_size=20), st.booleans())
def test_every_value_has_its_place_in_order(values: list[float], logarithmic: bool) -> None:
    axis = spanning(values, 100.0, 900.0, logarithmic)
    places = [axis(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(100.0 <= place <= 900.0 for place in places)


@given(st.lists(positive, min_size=1, max_size=20), st.booleans())
def test_ticks_are_few_and_on_the_axis(values: list[float], logarithmic: bool) -> None:
    axis = spanning(values, 0.0, 500.0, logarithmic)
    ticks = axis.ticks()
    assert len(ticks) <= 20
    assert all(-0.01 <= place <= 500.01 for place, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


place = st.tuples(st.floats(0, 1_000), st.floats(0, 1_000), st.floats(1, 200))


@given(st.lists(place, max_size=12), st.floats(1, 30), st.lists(place, max_size=4), st.floats(500, 2_000))
def test_labels_that_would_overlap_keep_their_distance(
    labels: list[Place], least: float, taken: list[Place], lowest: float
) -> None:
    heights = apart(labels, least, taken, lowest)
    assert all(height <= lowest for height in heights)
    drawn = [(x, at, width) for at, (x, _, width) in zip(heights, labels, strict=True)]
    for (x, a, width), (other, b, wide) in (*combinations(drawn, 2), *product(drawn, taken)):
        if x < other + wide and other < x + width:
            assert abs(a - b) >= least - 1e-5
    assert apart(labels[:1], least) == [y for _, y, _ in labels[:1]]


@given(words)
def test_pictures_are_well_formed_whatever_the_words(said: str) -> None:
    axis = Axis(0.0, 1.0, 0.0, 10.0)
    drawn = picture(
        10,
        10,
        said,
        [
            text(1, 1, said),
            dot(1, 1, "c0", hint=said),
            box(0, 0, 1, 1, "c1", hint=said),
            *across(axis, 5, 0, said),
            *upright(axis, 0, 5, said),
        ],
    )
    assert ElementTree.fromstring(drawn).attrib["aria-label"].split() == said.split()


def test_pictures_need_no_css_variables() -> None:
    """Renderers such as librsvg know none, and paint what is filled with one black."""
    docs = Path(__file__).parents[3] / "docs"
    pictures = sorted(docs.glob("*.svg"))
    assert pictures
    assert not [path.name for path in pictures if "var(" in path.read_text(encoding="utf-8")]
    shapes = [box(0, 0, 1, 1, colour) + dot(0, 0, colour, hollow=True) for colour in (*COLOURS, OTHER)]
    assert "var(" not in picture(10, 10, "colours", shapes)
