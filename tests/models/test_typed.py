"""The one reader of TOML and JSON into dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.typed import Misfit, read


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str
    share: float = 0.5


@dataclasses.dataclass(frozen=True)
class Outer:
    count: int
    items: tuple[Inner, ...] = ()
    table: Mapping[str, int] = dataclasses.field(default_factory=dict)
    note: str | None = None
    on: bool = False


WHOLE = Outer(3, (Inner("a"), Inner("b", 1.0)), {"x": 1}, "n", True)


def plain(value: object) -> Any:
    return dataclasses.asdict(value) | {"items": [dataclasses.asdict(item) for item in value.items]}  # type: ignore


def test_what_was_written_is_read() -> None:
    assert read(Outer, plain(WHOLE), whole=True) == WHOLE
    assert read(Outer, {"count": 1}) == Outer(1) and read(Inner, {"name": "x", "share": 1}) == Inner("x", 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "3"}, 'w.count must be a whole number, not "3"'),
        ({"count": True}, "w.count must be a whole number, not true"),
        ({"on": 1}, "w.on must be true or false, not 1"),
        ({"items": {}}, "w.items must be a list, not {}"),
        ({"items": [{"name": 1}]}, "w.items[0].name must be a text, not 1"),
        ({"items": [{}]}, "w.items[0].name is missing"),
        ({"table": {"x": 1.5}}, "w.table.x must be a whole number, not 1.5"),
        ({"other": 1}, "w.other is unknown"),
        ({"note": "n" * 99}, None),
        ({"note": ["n" * 99]}, 'w.note must be a text, not ["nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...'),
    ],
)
def test_a_misfit_is_named_with_its_place(change: dict[str, Any], message: str | None) -> None:
    if message is None:
        read(Outer, {"count": 1} | change, "w")
        return
    with pytest.raises(Misfit) as error:
        read(Outer, {"count": 1} | change, "w")
    assert str(error.value) == message


def test_with_whole_no_key_may_be_missing() -> None:
    for key in plain(WHOLE):
        with pytest.raises(Misfit, match=f"^{key} is missing$"):
            read(Outer, {name: value for name, value in plain(WHOLE).items() if name != key}, whole=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["count", "items", "table", "note", "name"]), inner)
    ),
)


@given(VALUES)
def test_anything_is_read_or_named_in_one_line(raw: Any) -> None:
    try:
        assert isinstance(read(Outer, raw), Outer)
    except Misfit as error:
        assert "\n" not in str(error)
