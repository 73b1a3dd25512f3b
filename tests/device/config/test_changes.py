"""Settings changed by a program: comments stay, only what may be set is taken, the rest of the file decides."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.config import changes, fields, skip_invalid
from device.config.changes import CHANGEABLE, ChangeError, edited, taken
from device.config.loader import ConfigError, load
from device.config.schema import Config

LEAVES = {leaf.key: leaf for leaf in changes.changeable()}
TEMPLATE = Path(__file__).parents[3] / "provisioning/rootfs-overlay/image/boot/firmware/dictation.toml"


def values(leaf: fields.Setting) -> st.SearchStrategy[Any]:
    if get_origin(leaf.type) is Literal:
        return st.sampled_from(get_args(leaf.type))
    kinds: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        str: st.text(),
        int: st.integers(-5, 2**40),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }
    return kinds[leaf.type]


SOME = st.dictionaries(st.sampled_from(CHANGEABLE), st.none()).flatmap(
    lambda keys: st.fixed_dictionaries({key: st.none() | values(LEAVES[key]) for key in keys})
)
TEXTS = st.lists(
    st.sampled_from(
        [
            "# a comment\n",
            "\n",
            "[text]  # of text\n",
            "[panel]\n",
            "[sinks.keyboard]\n",
            "numbers = true  # as on paper\n",
            "  digits_from=5\n",
            '#mode = "hold"\n',
            'mode = "hold"\n',
            'layout = "de" # "quoted"\n',
            "english = '''\nus'''\n",
        ]
    ),
    unique=True,
).map("".join)
DOTTED = "text.numbers = true  # one\n# two\n[audio]\n"


def flat(table: dict[str, Any]) -> dict[str, Any]:
    return {key: fields.get(_Tree(table), key) for key in _keys(table)}


class _Tree:
    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Any:
        value = self._table[name]
        return _Tree(value) if isinstance(value, dict) else value


def _keys(table: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in table.items():
        found += _keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return found


@settings(max_examples=60)
@given(TEXTS | st.just(DOTTED) | st.just(TEMPLATE.read_text()), SOME)
def test_what_is_changed_has_its_value_and_the_rest_stays(text: str, wanted: dict[str, Any]) -> None:
    before = flat(tomllib.loads(text))
    result = edited(text, wanted)
    after = flat(tomllib.loads(result))
    for key, value in wanted.items():
        assert after.pop(key, None) == value
        before.pop(key, None)
    assert after == before
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in result.splitlines() if line.startswith("#")] == comments
    assert edited(result, wanted) == result


def test_a_setting_goes_where_its_comment_stands() -> None:
    result = edited('[panel]\n# Talk while held.\n#mode = "hold"\n\n[text]\n', {"panel.mode": "toggle"})
    assert result == '[panel]\n# Talk while held.\n#mode = "hold"\nmode = "toggle"\n\n[text]\n'


@pytest.mark.parametrize(
    "text", ["text = {numbers = true, digits_from = 3}\n", "text = {numbers = true}\n", "text = ["]
)
def test_what_cannot_be_changed_by_itself_is_left_alone(text: str) -> None:
    with pytest.raises(ChangeError):
        edited(text, {"text.numbers": False})


def test_what_may_be_set_is_no_path_no_secret_and_nothing_of_the_machine() -> None:
    assert set(CHANGEABLE) == set(LEAVES) and len(LEAVES) == len(CHANGEABLE)
    for key, leaf in LEAVES.items():
        assert leaf.type is not Path and not leaf.spec.secret, key
        assert not key.startswith(
            ("bundle.", "feed.", "realtime.", "sinks.journal.", "system.", "vocabulary.", "web.")
        ), key


def test_only_what_may_be_set_is_taken() -> None:
    text = '[system]\nssh_key = "x"\n[web]\nenabled = true\n[text]\nnumbers = false\nno_such = 1\n'
    assert taken(text) == {"text": {"numbers": False}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "dictation.toml").write_text('web.settings = "page.toml"\n[text]\ndigits_from = 4\nnumbers = true\n')
    return tmp_path / "dictation.toml"


def test_the_page_is_on_top_of_the_file_and_below_the_command_line(file: Path) -> None:
    page = file.with_name("page.toml")
    changes.write(page, "[text]\ndigits_from = 7\nnumbers = false\n")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert load(file).config.text.digits_from == 4
    loaded = load(file, ["text.numbers=true"], page=True)
    assert (loaded.config.text.digits_from, loaded.config.text.numbers) == (7, True)
    origins = loaded.origins()
    assert origins["text.digits_from"] == f"{page}:2" and origins["text.numbers"] == "--set text.numbers=true"
    proposed = load(file, page=True, proposed="[text]\ndigits_from = 9\n").config
    assert proposed.text.digits_from == 9 and proposed.text.numbers


def test_a_wrong_page_is_told_with_its_line_and_left_out_where_that_is_wanted(file: Path) -> None:
    page = file.with_name("page.toml")
    page.write_text("[text]\nnumbers = false\ndigits_from = 700\n")
    with pytest.raises(ConfigError, match=r"page\.toml:3: text\.digits_from = 700: must be an integer, 0 to 100"):
        load(file, page=True)
    loaded, told = skip_invalid.load(file, page=True)
    assert loaded.config.text == load(file).config.text and loaded.config.text != Config().text
    assert len(told) == 1 and "page.toml:3" in told[0]
    page.write_text("[text")
    assert skip_invalid.load(file, page=True)[0].config == load(file).config


def test_without_a_page_everything_is_as_it_was(file: Path) -> None:
    assert load(file, page=True) == load(file)
