"""The configuration: every key, every range, every origin."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import cli
from device.config import fields, toml_lines
from device.config.fields import Setting
from device.config.loader import DEFAULT_FILE, ConfigError, load
from device.config.schema import Config

LEAVES = list(fields.walk(Config))
RANGED = [
    (leaf, bound, beyond)
    for leaf in LEAVES
    for bound, beyond in ((leaf.spec.low, -1), (leaf.spec.high, 1))
    if bound is not None
]


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text)
    return file


def run(*argv: str) -> int:
    return cli.main(["config", *argv])


def test_defaults_load_without_a_file_and_from_an_empty_one(tmp_path: Path) -> None:
    assert load(None).config == load(write(tmp_path, "")).config == Config()


def test_the_default_file_may_be_missing_but_a_named_one_may_not(tmp_path: Path) -> None:
    assert not DEFAULT_FILE.exists()
    assert load(DEFAULT_FILE).config == Config()
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file; name another with --config"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.key)
def test_every_default_is_allowed_and_every_number_has_a_range(leaf: Setting) -> None:
    given = fields.format_value(leaf.default)
    tree = fields.build(Config, fields.nested(leaf.key, tomllib.loads(f"v = {given}")["v"]))
    assert fields.get(tree, leaf.key) == leaf.default
    assert leaf.spec.help.endswith(".")
    kind = get_args(leaf.type)[0] if get_origin(leaf.type) is tuple else leaf.type
    if kind in (int, float):
        assert leaf.spec.low is not None and leaf.spec.high is not None


@pytest.mark.parametrize(("leaf", "bound", "beyond"), RANGED, ids=lambda v: getattr(v, "key", str(v)))
def test_bounds_are_inclusive_and_one_beyond_is_refused(leaf: Setting, bound: float, beyond: int) -> None:
    is_tuple = get_origin(leaf.type) is tuple
    number = get_args(leaf.type)[0] if is_tuple else leaf.type

    def table(value: float) -> dict[str, Any]:
        scalar = number(value)
        length = len(leaf.default) if is_tuple else 1
        return fields.nested(leaf.key, [scalar] * length if is_tuple else scalar)

    fields.build(Config, table(bound))
    with pytest.raises(fields.SettingError) as caught:
        fields.build(Config, table(bound + beyond))
    assert leaf.key in str(caught.value)
    assert f"{leaf.spec.low:g} to {leaf.spec.high:g}" in str(caught.value)
    assert leaf.spec.unit in str(caught.value)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.key)
def test_a_key_with_a_letter_missing_is_refused_and_named(leaf: Setting) -> None:
    table, _, name = leaf.key.rpartition(".")
    wrong = f"{table}.{name[:-2] + name[-1]}" if len(name) > 2 else f"{table}.x{name}"
    with pytest.raises(fields.SettingError, match=f"no such key; nearest: {leaf.key}$"):
        fields.build(Config, fields.nested(wrong, 1))


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[audio]\n\nblock_ms = 250", "3: audio.block_ms = 250: must be an integer, 10 to 100 ms"),
        ("[audio]\nblock_ms = 50.0", "2: audio.block_ms = 50.0: must be an integer, 10 to 100 ms"),
        ("[audio]\nkeep_open = 1", "2: audio.keep_open = 1: must be true or false"),
        ("[panel]\nmode = 'hodl'", '2: panel.mode = "hodl": must be one of "hold", "toggle"'),
        (
            "[panel]\nleds.pins = [\n 1,\n 2,\n]",
            "2: panel.leds.pins = [1, 2]: must be a list of 3 items, each",
        ),
        ("[power]\ninterval_s = nan", "2: power.interval_s = nan: must be a number, 0.1 to 600 s"),
        ("[bundle]\ndir = ''", '2: bundle.dir = "": must be a path'),
        ("audio = 3", "1: audio: is a section: write it as [audio]"),
        ("[keyboard]\nrate = 3", "1: keyboard: no such key; nearest: sinks.keyboard"),
        ("[audio]\nsource = 'file'", 'audio.file = "": must name a WAV file while audio.source is "file"'),
        ("[panel]\nbutton_pin = 22", "2: panel.button_pin = 22: is an LED's pin too"),
        ("[panel.leds]\npins = [5, 5, 6]", "2: panel.leds.pins = [5, 5, 6]: must be three different pins"),
        ("[power]\nlow_percent = 3", "power.shutdown_percent = 4.0: must be below power.low_percent"),
        ("[power]\nempty_v = 5", "power.empty_v = 5.0: must be below power.full_v"),
        ("[audio", "not valid TOML"),
    ],
)
def test_errors_name_file_line_key_value_and_what_is_allowed(tmp_path: Path, toml: str, message: str) -> None:
    file = write(tmp_path, toml)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}:")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "[audio]\nblock_ms = 0\nrat = 1"), ["panel.mode=x"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(("old", "today"), [("true", "auto"), ("false", "off")])
def test_spoken_punctuation_is_still_read(tmp_path: Path, old: str, today: str) -> None:
    assert load(write(tmp_path, f"text.spoken_punctuation = {old}")).config.text.punctuation == today
    with pytest.raises(ConfigError, match="punctuation = 3: must be one of"):
        load(write(tmp_path, "text.spoken_punctuation = 3"))


def test_overrides_win_and_their_problems_name_them(tmp_path: Path) -> None:
    file = write(tmp_path, "[audio]\nblock_ms = 50\nrate = 48000")
    loaded = load(file, ["audio.block_ms=20", "audio.device=Blue Yeti"])
    assert (loaded.config.audio.block_ms, loaded.config.audio.rate) == (20, 48_000)
    assert loaded.config.audio.device == "Blue Yeti"
    origins = loaded.origins()
    assert origins["audio.block_ms"] == "--set audio.block_ms=20"
    assert origins["audio.rate"] == f"{file}:3"
    assert origins["audio.preroll_ms"] == "default"
    with pytest.raises(ConfigError, match=r"^--set audio\.block_ms=500: audio\.block_ms = 500: must be"):
        load(file, ["audio.block_ms=500"])
    with pytest.raises(ConfigError, match="write it as key=value"):
        load(file, ["audio.block_ms"])


def test_paths_in_the_file_start_from_its_folder_and_overrides_from_here(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "bundle.dir = 'small'\nsinks.journal.dir = '/j'"), ["power.dir=p"])
    assert loaded.config.bundle.dir == tmp_path / "small"
    assert loaded.config.sinks.journal.dir == Path("/j")
    assert loaded.config.power.dir == Path.cwd() / "p"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([leaf for leaf in LEAVES if leaf.type in (int, bool, str, float)]),
            st.booleans(),
            st.integers(0, 2),
        ),
        unique_by=lambda row: row[0].key,
        max_size=8,
    )
)
def test_lines_of_finds_each_key_where_it_was_written(rows: list[tuple[Setting, bool, int]]) -> None:
    lines: list[str] = []
    expected = {}
    for leaf, commented, blanks in rows:
        lines += [""] * blanks + (["# " + leaf.key + " = 1"] if commented else [])
        lines.append(f"{leaf.key} = {fields.format_value(leaf.default)}")
        expected[leaf.key] = len(lines)
    assert toml_lines.lines_of("\n".join(lines)) == expected


SET = st.sampled_from([leaf for leaf in LEAVES if leaf.type in (int, bool, str, float, Path)])
ROWS = st.lists(SET, unique_by=lambda leaf: leaf.key, max_size=8)
BAD = st.sampled_from(
    [
        "x", "= 3", "x = ", "x = tru", "x = 'y", 'x = "y', "x = [1, 2", "x = {a = 1", 'x = """', "x = \'\'\'y", "]",
        "}}", "x = 1 2", "x = 08", "x = 2026-13-01", "x y = 1", "x.. = 1", '"x = 1', "\x00", "x = '\x07'", "💥",
        "x = 1 = 2",
    ]
)  # fmt: skip


def toml_of(rows: list[Setting], sections: bool) -> list[str]:
    lines = []
    for leaf in rows:
        section, _, name = leaf.key.rpartition(".")
        value = fields.format_value(leaf.default)
        lines += [f"[{section}]", f"{name} = {value}"] if sections else [f"{leaf.key} = {value}"]
    return lines


@given(ROWS, st.integers(0, 20), BAD, st.sampled_from(["\n", "\r\n"]))
def test_a_bad_line_costs_only_itself(rows: list[Setting], at: int, bad: str, end: str) -> None:
    lines = toml_of(rows, sections=False)
    at = min(at, len(lines))
    salvaged = toml_lines.salvage(end.join([*lines[:at], bad, *lines[at:]]))
    assert salvaged.table == toml_lines.parse("\n".join(lines))
    assert [fault.line for fault in salvaged.faults] == [at + 1]
    expected = {leaf.key: place + (place > at) for place, leaf in enumerate(rows, 1)}
    assert toml_lines.lines_of(salvaged.text) == expected


@given(ROWS, st.integers(0, 8), st.sampled_from(["[{}", "[{}]]", "[{}] x", "[[{}]", "[ {} = 1"]))
def test_a_section_whose_header_is_cut_short_still_begins(rows: list[Setting], at: int, form: str) -> None:
    lines = toml_of(rows, sections=True)
    sections = [line for line in lines if line.startswith("[")]
    whole = fields.merge({}, {})
    for leaf in rows:
        whole = fields.merge(
            whole, fields.nested(leaf.key, tomllib.loads(f"v = {fields.format_value(leaf.default)}")["v"])
        )
    if not sections:
        return
    broken = 2 * (at % len(sections))
    lines[broken] = form.format(lines[broken].strip("[]"))
    salvaged = toml_lines.salvage("\n".join(lines))
    assert salvaged.table == whole
    assert [fault.line for fault in salvaged.faults] == [broken + 1]


@given(st.text("[]{}=.,'\"#ax1 \n\t\\\r") | st.text())
def test_whatever_a_file_holds_is_salvaged_line_by_line(text: str) -> None:
    salvaged = toml_lines.salvage(text)
    assert salvaged.text.count("\n") == text.count("\n")
    assert all(1 <= fault.line <= text.count("\n") + 1 for fault in salvaged.faults)
    lines = toml_lines.lines_of(salvaged.text)
    assert set(lines.values()) <= set(range(1, text.count("\n") + 2))
    assert toml_lines.salvage(salvaged.text).table == salvaged.table


@given(st.text())
def test_show_writes_toml_strings(text: str) -> None:
    assert tomllib.loads(f"v = {fields.format_value(text)}")["v"] == text


def test_config_prints_toml_that_loads_to_the_same_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "[sinks.keyboard]\nlayout = 'fr'\n")
    assert run("--config", str(file), "--set", 'audio.device=a"b', "--help-keys") == 0
    printed = capsys.readouterr().out
    assert f'layout = "fr"  # one of "us", "uk", "de", "fr"; {file}:2' in printed
    assert load(write(tmp_path, printed)).config == load(file, ['audio.device=a"b']).config


def test_config_reports_errors_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config", str(write(tmp_path, "audio.rat = 1"))) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run("--only", "nonsense") == 2
    assert "no such key" in capsys.readouterr().err


def test_choices_are_never_numbers() -> None:
    for leaf in LEAVES:
        if get_origin(leaf.type) is Literal:
            assert all(isinstance(choice, str) for choice in get_args(leaf.type))
