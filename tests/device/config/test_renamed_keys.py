"""Keys that users have under the names that they had before: still read, and each said once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from device import cli
from device.config import fields, loader, skip_invalid
from device.config.fields import Setting
from device.config.loader import ConfigError, load
from device.config.schema import Config

RENAMED = [leaf for leaf in fields.walk(Config) if leaf.was]
DEFAULTS = Config()


def another(leaf: Setting) -> tuple[str, object]:
    """A value under the old name, as TOML writes it, and what it is today; it is not the default."""
    if leaf.spec.was_values:
        old, today = next((old, today) for old, today in leaf.spec.was_values.items() if today != leaf.default)
        return fields.format_value(old), today
    assert leaf.type is float
    return fields.format_value(leaf.default + 1.5), leaf.default + 1.5


def test_these_are_renamed() -> None:
    assert {leaf.was: leaf.key for leaf in RENAMED} == {
        "text.spoken_punctuation": "text.punctuation",  # old name
        "text.forget_s": "text.context_timeout_s",  # old name
        "sinks.keyboard.patience_s": "sinks.keyboard.host_timeout_s",  # old name
    }


def test_no_former_name_is_in_use() -> None:
    assert not {leaf.was for leaf in RENAMED} & {leaf.key for leaf in fields.walk(Config)}


@pytest.mark.parametrize("leaf", RENAMED, ids=lambda leaf: leaf.was)
def test_a_file_may_have_the_old_name(tmp_path: Path, leaf: Setting) -> None:
    file = tmp_path / "old.toml"
    old, today = another(leaf)
    file.write_text(f"\n{leaf.was} = {old}\n")
    loaded = load(file, environ={})
    assert fields.get(loaded.config, leaf.key) == today
    assert loaded.renamed == (f"{file}:2: {leaf.was} is called {leaf.key} now; the old name is still read",)
    assert loaded.origins()[leaf.key] == f"{file}:2"
    assert load(None, environ={}).renamed == ()


@pytest.mark.parametrize("leaf", RENAMED, ids=lambda leaf: leaf.was)
def test_the_new_name_wins(tmp_path: Path, leaf: Setting) -> None:
    file = tmp_path / "both.toml"
    _, today = another(leaf)
    file.write_text(f"{leaf.key} = {fields.format_value(today)}\n{leaf.was} = 3\n")
    loaded = load(file, environ={})
    assert fields.get(loaded.config, leaf.key) == today and len(loaded.renamed) == 1
    assert loaded.origins()[leaf.key] == f"{file}:1"


@pytest.mark.parametrize("leaf", RENAMED, ids=lambda leaf: leaf.was)
def test_an_override_may_have_the_old_name(tmp_path: Path, leaf: Setting) -> None:
    file = tmp_path / "old.toml"
    file.write_text(f"{leaf.key} = 3\n")
    old, today = another(leaf)
    loaded = load(file, [f"{leaf.was}={old}"], {})
    assert fields.get(loaded.config, leaf.key) == today
    assert loaded.renamed == (f"--set: {leaf.was} is called {leaf.key} now; the old name is still read",)
    assert loaded.origins()[leaf.key] == f"--set {leaf.was}={old}"


@pytest.mark.parametrize("leaf", RENAMED, ids=lambda leaf: leaf.was)
def test_a_wrong_value_under_the_old_name_is_refused_on_its_line(tmp_path: Path, leaf: Setting) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(f'{leaf.was} = "soon"\n')
    with pytest.raises(ConfigError, match=rf"wrong\.toml:1: {leaf.key} = \"soon\": must be {leaf.expected[:8]}"):
        load(file, environ={})
    loaded, told = skip_invalid.load(file, environ={})
    assert loaded.config == DEFAULTS and len(told) == 1


def test_what_is_no_table_is_left_to_the_check(tmp_path: Path) -> None:
    file = tmp_path / "odd.toml"
    file.write_text("text = 3\n[sinks]\nkeyboard = []\n")
    with pytest.raises(ConfigError, match=r"text: is a section.*\n.*sinks\.keyboard: is a section"):
        loader.load(file, environ={})


def test_a_command_says_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.toml"
    file.write_text(f"{RENAMED[0].was} = {another(RENAMED[0])[0]}\n")
    assert cli.main(["config", "--config", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == f"dictate: {file}:1: {RENAMED[0].was} is called {RENAMED[0].key} now; the old name is still read\n"
    again = tmp_path / "again.toml"
    again.write_text(out)
    assert load(again, environ={}).config.text == load(file, environ={}).config.text
    assert load(again, environ={}).renamed == ()


OLD = [
    (["lights"], ["leds"]),  # old name
    (["run", "--lenient"], ["run", "--skip-invalid"]),  # old name
    (["bench", "--peers", "/nope"], ["bench", "--baselines", "/nope"]),  # old name
]


@pytest.mark.parametrize(("old", "today"), OLD, ids=lambda command: command[-1])
def test_commands_and_options_work_under_the_old_name(old: list[str], today: list[str]) -> None:
    more = [] if old == ["lights"] else ["--set", "no.such=1"]  # old name

    def run(command: list[str]) -> tuple[int, str, list[str]]:
        line = [sys.executable, "-m", "device.cli", *command, *more]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr.splitlines()

    (status, out, err), (expected, same, plain) = run(old), run(today)
    assert (status, out) == (expected, same)
    first, name = (old[0], today[0]) if len(old) == 1 else (old[1], today[1])
    assert err == [f"dictate: {first} is called {name} now; the old name is still read", *plain]


def test_the_help_shows_no_old_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert "--skip-invalid" in (text := capsys.readouterr().out) and "lenient" not in text  # old name
