"""Settings that are changed by a program: which ones may be, and how a TOML text is changed with its comments kept.

What is set on the web page is kept in a file of its own, `web.settings`, and taken on top of the configuration: the
card is never written, and what its owner wrote there stays as it is.

>>> print(edited("[text]\\n# mine\\nnumbers = true  # as on paper\\n", {"text.numbers": False}), end="")
[text]
# mine
numbers = false  # as on paper
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from device.config import fields, toml_lines
from device.config.schema import Config
from device.config.toml_lines import Statement
from models import files
from models.errors import UserError

CHANGEABLE = (
    "panel.mode",
    "panel.double_tap_ms",
    "panel.shutdown_press_s",
    "sinks.keyboard.layout",
    "sinks.keyboard.rate",
    "text.punctuation",
    "text.numbers",
    "text.digits_from",
    "text.english",
    "text.enter_key",
    "recognizer.endpoint_silence_ms",
    "recognizer.max_segment_s",
    "audio.device",
    "audio.preroll_ms",
    "power.battery_wh",
    "power.low_percent",
    "power.shutdown_percent",
)
"""What the page may set: no path, no program, nothing of network, login, wiring or of what is kept."""

LARGEST = 64 << 10
"""Bytes of the file."""


class ChangeError(UserError):
    """The text cannot be changed by a program."""


def changeable() -> Iterator[fields.Setting]:
    """The settings of :data:`CHANGEABLE`, in that order."""
    known = {leaf.key: leaf for leaf in fields.walk(Config)}
    yield from (known[key] for key in CHANGEABLE)


def read(file: Path) -> str:
    """The text of the page's settings; empty where there is no such file, or where it is another user's."""
    try:
        with file.open("rb") as stream:
            return stream.read(LARGEST).decode("utf-8", "replace")
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return ""


def taken(text: str) -> dict[str, Any]:
    """The tables of a text as far as the page may set them. Raises ValueError or RecursionError where it is no TOML."""
    table, found = toml_lines.parse(text), dict[str, Any]()
    for key in CHANGEABLE:
        value = fields.at(table, key)
        if value is not fields.UNSAID:
            found = fields.merge(found, fields.nested(key, value))
    return found


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """`text` with the dotted keys of `changes` set; None removes one. Comments and all other lines stay.

    A key that is not there yet goes behind a comment that has it ("#mode = ..."), else to the end of its section, else
    to a new section at the end. Raises ChangeError where a key shares an inline table or the text is no TOML.
    """
    try:
        toml_lines.parse(text)
        left, lines, prefix = dict(changes), list[Statement](), list[str]()
        section = ""
        for statement in toml_lines.statements(text):
            section = _section(statement, section)
            kept = _changed(statement, section, left)
            if kept is not None:
                lines.append(kept)
                prefix.append(section)
    except (ValueError, RecursionError) as error:
        raise ChangeError(f"not valid TOML: {error}") from None
    for key, value in left.items():
        if value is not None:
            _insert(lines, prefix, key, value)
    result = "".join(statement.text for statement in lines)
    try:
        toml_lines.parse(result)
    except ValueError:
        raise ChangeError("the settings stand in inline tables; write each as a line of its own") from None
    return result


def write(file: Path, text: str) -> None:
    """Write the page's settings, for the owner alone. Raises OSError."""
    files.write(file, text, 0o600)


def _section(statement: Statement, before: str) -> str:
    if not statement.header:
        return before
    return next(toml_lines.flatten(toml_lines.parse(statement.text)), before)


def _changed(statement: Statement, section: str, left: dict[str, Any]) -> Statement | None:
    """A statement with its new value; None if it goes. What is done leaves `left`."""
    if statement.header or not statement.text.strip() or statement.text.lstrip().startswith("#"):
        return statement
    prefix = f"{section}." if section else ""
    keys = [f"{prefix}{key}" for key in toml_lines.flatten(toml_lines.parse(statement.text))]
    if not left.keys() & set(keys):
        return statement
    if len(keys) > 1 or "{" in statement.text.partition("#")[0].partition("=")[2].lstrip()[:1]:
        raise ChangeError(f"line {statement.line}: an inline table; write its settings as lines of their own")
    value = left.pop(keys[0])
    if value is None:
        return None
    head = statement.text.partition("=")[0].rstrip()
    tokens = toml_lines.TOKEN.findall(statement.text)
    comment = next((f"  {token}" for token in reversed(tokens) if token.startswith("#")), "")
    return Statement(statement.line, f"{head} = {fields.format_value(value)}{comment}\n")


def _insert(lines: list[Statement], prefix: list[str], key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    new = Statement(0, f"{name} = {fields.format_value(value)}\n")
    if lines and not lines[-1].text:
        del lines[-1], prefix[-1]  # what follows the last newline
    if lines and not lines[-1].text.endswith("\n"):
        lines[-1] = Statement(lines[-1].line, lines[-1].text + "\n")
    inside = [index for index, its in enumerate(prefix) if its == section]
    dotted = [index for index, its in enumerate(prefix) if not its and lines[index].text.startswith(f"{section}.")]
    if dotted and not inside:  # "text.numbers = ..." before the first section: a header would be the second [text]
        lines.insert(dotted[-1] + 1, Statement(0, f"{key} = {fields.format_value(value)}\n"))
        prefix.insert(dotted[-1] + 1, "")
        return
    if not inside:
        gap = "\n" if lines and lines[-1].text.strip() else ""
        lines.append(Statement(0, f"{gap}[{section}]\n"))
        prefix.append(section)
        inside = [len(lines) - 1]
    shown = [i for i in inside if lines[i].text.lstrip("# \t").partition("=")[0].strip() == name]
    filled = [i for i in inside if lines[i].text.strip()]
    at = (shown or filled or inside)[-1] + 1
    lines.insert(at, new)
    prefix.insert(at, section)
