"""Commands, options and settings that the documentation names: each is there."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from device import cli
from device.config import fields, schema

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").glob("**/*.md") if p.name != "changelog.md")]
"""The changelog also names what was renamed."""

OPTION = re.compile(r"--[a-z][a-z-]*")
SEPARATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}
CODE = re.compile(r"^ {4,}(?:\$ )?(.+)$", re.M)
QUOTED = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
KEYS = {key for setting in fields.walk(schema.Config) for key in (setting.key, setting.was) if key}
SECTIONS = {".".join(key.split(".")[:depth]) for key in KEYS for depth in range(1, key.count(".") + 1)}


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in a page: of indented lines, and of what is quoted."""
    text = text.replace("\\\n", " ")
    for line in [*CODE.findall(text), *QUOTED.findall(CODE.sub("", text))]:
        words: list[str] = []
        for word in [*_words(line.replace("\n", " ")), ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            while words and (words[0] == "sudo" or re.match(r"[A-Z_]+=", words[0])):
                del words[0]
            if words:
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]
            words = []


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # an apostrophe or a quote that ends elsewhere
        return line.split()


def faults(words: list[str]) -> list[str]:
    """What is wrong with a command: options, subcommands and targets that do not exist."""
    if words[0] == "dictate":
        return _faults(cli.parser([]), words[1:])
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        known = set(re.findall(r"[a-z-]+", " ".join(re.findall(r"^([a-z -]+):", makefile, re.M))))
        return [f"make {word}" for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word) and word not in known]
    program, rest = _program(words)
    given = [option[0] for word in rest if (option := OPTION.match(word))]
    if not program or not given:
        return []
    known = _options(*program)
    if re.search(rf"^ {{4}}{re.escape(rest[0])}\b", _help(*program), re.M):
        known |= _options(*program, rest[0])
    return [f"{program[-1]} {option}" for option in given if option not in known]


def _faults(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    nested = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    found = []
    for place, word in enumerate(words):
        if word.endswith(":"):  # no command, but what one says
            return found
        if option := OPTION.match(word):
            action = parser._option_string_actions.get(option[0])
            if action is None or (action.help == argparse.SUPPRESS):
                found.append(f"{parser.prog} {option[0]}")
        elif nested is not None and re.fullmatch(r"[a-z][a-z-]*", word):
            if word not in nested.choices:
                return [*found, f"{parser.prog} {word}"]
            return found + _faults(nested.choices[word], words[place + 1 :])
    return found


def _program(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The program of this repository that a command runs, as arguments of a Python, and its own arguments."""
    if words[0] in ("python", "python3") and words[1:]:
        words = words[1:]
        if words[0] == "-m" and words[1:]:
            return (("-m", words[1]), words[2:]) if words[1].split(".")[0] == "convert" else ((), [])
    if re.fullmatch(r"(convert|provisioning|tests)/[\w/.-]+", words[0]) and (ROOT / words[0]).is_file():
        return (words[0],), words[1:]
    return (), []


@cache
def _help(*program: str) -> str:
    done = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (program, done.stderr)
    return done.stdout


def _options(*program: str) -> set[str]:
    return set(OPTION.findall(_help(*program)))


@cache
def every_option() -> frozenset[str]:
    """The options of all commands of the repository."""
    scripts = [path for path in (ROOT / "provisioning").iterdir() if path.is_file() and not path.suffix]
    edge_tpu = re.findall(r"^ {4}([a-z-]+)\b", _help("-m", "convert.edgetpu"), re.M)
    programs = [("convert/build.py",), *(("-m", "convert.edgetpu", name) for name in edge_tpu)]
    programs += [(str(script.relative_to(ROOT)),) for script in scripts]
    offered = {option for program in programs for option in _options(*program)}
    parsers: list[argparse.ArgumentParser] = [cli.parser([])]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            elif action.help != argparse.SUPPRESS:
                offered |= {*action.option_strings}
    return frozenset(offered)


def settings(text: str) -> set[str]:
    """The keys that a page quotes, alone or with a value, gives to --set, or has below a [section] in code."""
    names = re.findall(r"`((?:[a-z0-9_]+\.)+[a-z0-9_]+)(?:`| ?= ?[^`]+`)", text) + re.findall(r"--set ([\w.]+)=", text)
    section = ""
    for line in CODE.findall(text):
        if header := re.match(r"\[([\w.]+)\]", line):
            section = header[1]
        elif section and (key := re.match(r"(\w+) = ", line)):
            names.append(f"{section}.{key[1]}")
    return {name for name in names if name.split(".")[0] in SECTIONS and not name.endswith(".json")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documentation_can_be_run(page: Path) -> None:
    assert [fault for words in commands(page.read_text(encoding="utf-8")) for fault in faults(words)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_quoted_alone_exist_in_some_command(page: Path) -> None:
    assert set(re.findall(r"`(--[a-z][a-z-]*)", page.read_text(encoding="utf-8"))) - every_option() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_in_the_documentation_exist(page: Path) -> None:
    assert sorted(settings(page.read_text(encoding="utf-8")) - KEYS - SECTIONS) == []


def test_what_does_not_exist_is_found() -> None:
    text = """
`dictate lights`, `dictate live --typing x` and `make peers bundle`; `text.digit_from`, `text.numbers = no`
    $ sudo .venv/bin/dictate power now --once | dictate bench --peers x && dictate power for-ever
    [web]
    enable = true
    python convert/build.py --prebuilt --no-such
    python -m convert.edgetpu check --strict --stricter M.tflite    # don't
"""
    found = [fault for words in commands(text) for fault in faults(words)]
    assert sorted(found) == sorted([
        "dictate lights", "dictate live --typing", "make peers", "dictate power now --once", "dictate bench --peers",
        "dictate power for-ever", "convert/build.py --no-such", "convert.edgetpu --stricter",
    ])  # fmt: skip
    assert settings(text) - KEYS == {"text.digit_from", "web.enable"}
