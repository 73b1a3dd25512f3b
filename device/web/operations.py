"""What the page may ask of the appliance's files: a few operations, each checked, none of which names a file.

The server faces the network and has no rights to these files. It sends one request, a line of JSON, to a process of the
appliance's own user (`dictate web answer`) and reads one line:

    {"do": "add word", "written": "Kowalczyk", "sounds_like": ""}
    {"ok": {...}}                          done
    {"error": "...", "problems": {...}}    not done, and why; problems by setting, where it was a setting

>>> answer({"do": "format the card"}, ConfigSource(Path("/nonexistent/dictation.toml")))
{'error': 'no such operation: format the card'}
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from device.config import changes, fields, loader, skip_invalid
from device.config.loader import ConfigError, Loaded
from device.config.places import with_user_places
from device.config.schema import Config
from device.output.journal import entries_in
from device.web.protocol import LARGEST, Answer, Request
from models.errors import UserError

if TYPE_CHECKING:
    from device.vocabulary.user_words import Pronounce

LAST = 50
"""Edits of the journal that are shown."""

LONGEST = 200
"""Characters of a word, and of what it sounds like."""

HOURS, FILES = 12.0, 2
"""How far back the power is drawn, and how many files of the log are read for it."""


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where the configuration comes from."""

    file: Path
    overrides: tuple[str, ...] = ()

    def loaded(self) -> Loaded:
        """The configuration as the appliance runs with it."""
        loaded, _ = skip_invalid.load(self.file, self.overrides, page=True)
        return with_user_places(loaded)

    @property
    def config(self) -> Config:
        return self.loaded().config

    def problems(self, proposed: str) -> tuple[fields.Problem, ...]:
        """What would be wrong if this were the text of the page's settings."""
        try:
            loader.load(self.file, self.overrides, page=True, proposed=proposed)
        except ConfigError as error:
            return error.problems
        return ()


class OperationError(UserError):
    """A request that cannot be carried out. `problems` says why, by setting."""

    def __init__(self, text: str, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.problems = dict(problems or {})


def answer_line(line: bytes, source: ConfigSource) -> bytes:
    """The answer to a request as it came over the socket."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or len(line) > LARGEST:
        return b'{"error":"no request"}\n'
    return json.dumps(answer(request, source), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def answer(request: Request, source: ConfigSource) -> Answer:
    """Carry out a request on the files that the configuration names."""
    name = request.get("do")
    operation = OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        return {"error": f"no such operation: {name}"}
    try:
        return {"ok": operation(request, source)}
    except OperationError as error:
        return {"error": str(error), "problems": error.problems}
    except UserError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{error.filename or name}: {error.strerror or error}"}


def _history(request: Request, source: ConfigSource) -> Answer:
    journal = source.config.sinks.journal
    if journal.mode != "disk":
        return {"kept": False, "edits": []}
    if not journal.dir.is_dir():
        return {"kept": True, "edits": []}
    last = deque(entries_in(journal.dir), LAST)
    return {"kept": True, "edits": [{"time": e.time, "delete": e.delete, "text": e.text} for e in last]}


def _words(request: Request, source: ConfigSource) -> Answer:
    from device.vocabulary import user_words  # each request is a process: it loads only what it needs

    parsed = user_words.load(source.config.vocabulary.file)
    words = [{"written": word.written, "sounds_like": word.sounds_like} for word in parsed.words]
    return {"words": words, "faults": list(parsed.faults)}


def _add_word(request: Request, source: ConfigSource) -> Answer:
    from device.vocabulary import user_words

    config = source.config
    new = user_words.word(_text(request, "written"), _text(request, "sounds_like"))
    user_words.lexicon([new], _pronounce(config) or user_words.spelled_out)
    user_words.add(config.vocabulary.file, new)
    return _words(request, source)


def _remove_word(request: Request, source: ConfigSource) -> Answer:
    from device.vocabulary import user_words

    written = _text(request, "written")
    if not user_words.remove(source.config.vocabulary.file, written):
        raise OperationError(f"{written}: not among the words")
    return _words(request, source)


def _pronounce(config: Config) -> Pronounce | None:
    from device.vocabulary import user_words
    from models.bundle import Bundle

    try:
        return user_words.pronouncer(Bundle.open(config.bundle.dir, verify=False))
    except UserError:
        return None


def _settings(request: Request, source: ConfigSource) -> Answer:
    loaded = source.loaded()
    on_page = changes.taken(loaded.page[1]) if loaded.page else {}
    set_here = {key for key in changes.CHANGEABLE if fields.at(on_page, key) is not fields.UNSAID}
    rows = []
    for leaf in changes.changeable():
        choices = [str(choice) for choice in get_args(leaf.type)] if get_origin(leaf.type) is Literal else None
        rows.append(
            {
                "key": leaf.key,
                "help": leaf.spec.help,
                "expected": leaf.expected,
                "unit": leaf.spec.unit,
                "type": "choice" if choices else leaf.type.__name__,
                "choices": choices,
                "low": leaf.spec.low,
                "high": leaf.spec.high,
                "value": fields.get(loaded.config, leaf.key),
                "default": leaf.default,
                "set_here": leaf.key in set_here,
            }
        )
    return {"settings": rows}


def _change_settings(request: Request, source: ConfigSource) -> Answer:
    wanted = request.get("changes")
    if not isinstance(wanted, dict) or not wanted:
        raise OperationError("no settings to change")
    if wrong := wanted.keys() - set(changes.CHANGEABLE):
        raise OperationError(f"{min(wrong)}: cannot be changed on this page; change it in dictation.toml")
    if odd := [key for key, value in wanted.items() if not (value is None or _plain(value))]:
        raise OperationError(f"{odd[0]}: must be text, a number, or true or false", {odd[0]: "must be one value"})
    file = source.config.web.settings
    text = changes.edited(changes.read(file), wanted)
    found = {
        key: problem.message
        for problem in source.problems(text)
        for key in wanted
        if problem.key == key or (key in problem.others and problem.key not in wanted)
    }
    if found:
        raise OperationError("not saved: " + "; ".join(f"{key} {why}" for key, why in found.items()), found)
    changes.write(file, text)
    return _settings(request, source)


def _power(request: Request, source: ConfigSource) -> Answer:
    from device.drawing import power as drawing_power
    from device.power.log import samples_in
    from device.power.report import summarise, table

    settings = source.config.power
    samples = list(samples_in(settings.dir, time.time() - 3_600 * HOURS, FILES))
    report = summarise(samples)
    return {"svg": drawing_power.svg(samples), "table": table(report, report, settings.battery_wh) if samples else ""}


def _doctor(request: Request, source: ConfigSource) -> Answer:
    from device.diagnostics import doctor

    return {"groups": doctor.rows(dict(doctor.run_checks(source.config)))}


def _plain(value: object) -> bool:
    """Whether a file can have this value: text that is Unicode, a number, true or false."""
    if isinstance(value, str):
        return len(value) <= LONGEST and not any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, bool | int | float)


def _text(request: Request, name: str) -> str:
    value = request.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST:
        raise OperationError(f"{name}: must be text of at most {LONGEST} characters")
    return value


OPERATIONS: dict[str, Callable[[Request, ConfigSource], Answer]] = {
    "history": _history,
    "words": _words,
    "add word": _add_word,
    "remove word": _remove_word,
    "settings": _settings,
    "change settings": _change_settings,
    "power": _power,
    "doctor": _doctor,
}
"""Everything that can be asked for."""
