"""The appliance's configuration: one TOML file read once into one typed, frozen tree.

>>> config = load(None, overrides=["panel.mode=toggle"]).config
>>> config.panel.mode, config.audio.block_ms
('toggle', 100)
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from device.config import fields, toml_lines
from device.config.fields import Problem
from device.config.schema import Config
from models.errors import UsageError

DEFAULT_FILE = Path("/etc/dictate/dictation.toml")
"""Where `dictate` looks when no file is named; it need not exist."""

LARGEST = 64 << 10
"""Bytes of a configuration file."""

MOST = 40
"""Problems that are told one by one: a serial console is slow."""


class ConfigError(UsageError):
    """The configuration cannot be used; the text has one line for each problem, with file and key.

    `problems` is empty where the file could not even be read.
    """

    def __init__(self, text: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(text)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration and where it came from."""

    config: Config
    file: Path | None
    text: str = ""
    """The file's text, less the lines that were skipped."""
    overridden: Mapping[str, str] = field(default_factory=dict)
    renamed: tuple[str, ...] = ()
    """A line for each key that was given under the name that it had before."""
    skipped: tuple[toml_lines.Fault, ...] = ()
    """Lines that are no TOML."""

    def origins(self) -> dict[str, str]:
        """For every key: ``default``, ``file:line`` or the override as it was given."""
        lines = toml_lines.lines_of(self.text)
        found = {leaf.key: "default" for leaf in fields.walk(Config)}
        today = {leaf.was: leaf.key for leaf in fields.walk(Config) if leaf.was}
        found |= {today[key]: f"{self.file}:{line}" for key, line in lines.items() if key in today}
        found |= {key: f"{self.file}:{line}" for key, line in lines.items()}
        return found | dict(self.overridden)


def load(
    file: Path | None,
    overrides: Iterable[str] = (),
    environ: Mapping[str, str] = os.environ,
    left_out: Collection[str] = (),
    skip_invalid: bool = False,
) -> Loaded:
    """Read and check `file` (None: defaults only), then `overrides`, each ``key=value``.

    :data:`DEFAULT_FILE` may be missing; any other file, and what a link leads to, may not. Relative paths in the file
    start from its folder, those in overrides from the working directory. DICTATE_BUNDLE of `environ` is the bundle's
    folder where neither says another. Keys in `left_out` are not taken from the file, nor, with `skip_invalid`, lines
    that are no TOML. A key may have the name that it had before; :attr:`Loaded.renamed` says so. Raises
    :class:`ConfigError`.
    """
    text, skipped = _decoded(file, skip_invalid) if file is not None else ("", ())
    try:
        salvaged = toml_lines.salvage(text) if skip_invalid else toml_lines.Salvaged(toml_lines.parse(text), text, ())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None
    text, skipped = salvaged.text, (*skipped, *salvaged.faults)
    table, old = fields.renamed(Config, salvaged.table)
    lines = toml_lines.lines_of(text) if old else {}
    table = fields.without(table, left_out)
    notes = [_renamed(f"{file}:{lines[key]}", key, today) for key, today in old.items()]
    given: dict[str, str] = {}
    if bundle := environ.get("DICTATE_BUNDLE"):
        if "bundle.dir" not in set(toml_lines.flatten(table)):
            given["bundle.dir"] = "DICTATE_BUNDLE"
        table = fields.merge(fields.nested("bundle.dir", str(Path(bundle).absolute())), table)
    paths = {leaf.key for leaf in fields.walk(Config) if leaf.type is Path}
    said = {leaf.key for leaf in fields.walk(Config) if not leaf.spec.secret}
    for override in overrides:
        try:
            key, value = fields.parse_override(override)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if key in paths and isinstance(value, str) and value:
            value = str(Path(value).expanduser().absolute())
        below, old = fields.renamed(Config, fields.nested(key, value))
        notes += [_renamed("--set", before, today) for before, today in old.items()]
        key = old.get(key, key)
        table = fields.merge(table, below)
        given[key] = f"--set {override}" if key in said else f"--set {key}={fields.HIDDEN}"
    loaded = Loaded(Config(), file, text, given, tuple(notes), skipped)
    try:
        config = fields.build(Config, table, file.parent if file else Path())
    except fields.SettingError as error:
        raise ConfigError(_report(loaded, error.problems), error.problems) from None
    if problems := tuple(conflicts(config)):
        raise ConfigError(_report(loaded, problems), problems)
    return replace(loaded, config=config)


def conflicts(config: Config) -> Iterator[Problem]:
    """Values that are each in range but cannot be used together."""
    panel, audio, power, system = config.panel, config.audio, config.power, config.system
    if audio.source == "file" and not audio.file:
        yield Problem("audio.file", audio.file, 'must name a WAV file while audio.source is "file"', ("audio.source",))
    if panel.leds.kind != "none":
        if len(set(panel.leds.pins)) < 3:
            yield Problem("panel.leds.pins", panel.leds.pins, "must be three different pins")
        if panel.button_pin in panel.leds.pins:
            message = "is an LED's pin too; choose another"
            yield Problem("panel.button_pin", panel.button_pin, message, ("panel.leds.pins",))
    if power.shutdown_percent >= power.low_percent > 0:
        message = "must be below power.low_percent"
        yield Problem("power.shutdown_percent", power.shutdown_percent, message, ("power.low_percent",))
    if power.empty_v >= power.full_v:
        yield Problem("power.empty_v", power.empty_v, "must be below power.full_v", ("power.full_v",))
    if system.wifi_ssid and not system.wifi_country:
        message = 'must name the country, e.g. "DE", while system.wifi_ssid names a network'
        yield Problem("system.wifi_country", "", message, ("system.wifi_ssid", "system.wifi_password"))


def _renamed(origin: str, key: str, today: str) -> str:
    return f"{origin}: {key} is called {today} now; the old name is still read"


def _decoded(file: Path, skip_invalid: bool) -> tuple[str, tuple[toml_lines.Fault, ...]]:
    """The file's text; with `skip_invalid`, lines that are not UTF-8 are blank in it and told of."""
    data = _read(file)
    if not skip_invalid:
        return _text(file, data), ()
    skipped = []
    lines = data.removeprefix(codecs.BOM_UTF8).splitlines(keepends=True)
    for at, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            message = f"byte 0x{line[error.start]:02x} is not UTF-8; save it as UTF-8"
            skipped.append(toml_lines.Fault(at + 1, message, comment=line.lstrip().startswith(b"#")))
            lines[at] = b"\n"
    if len(skipped) > toml_lines.MOST_FAULTS:
        return _text(file, data), ()
    return b"".join(lines).decode(), tuple(skipped)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        if file == DEFAULT_FILE and not file.is_symlink():  # on the image a link to what `dictate setup` writes
            return b""
        raise ConfigError(f"{file}: no such file; name another with --config") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{file}: larger than {LARGEST >> 10} KiB: is it a configuration?")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{file}: is UTF-16; save it as UTF-8")
    return data


def _text(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8") from None


def _report(loaded: Loaded, problems: Sequence[Problem]) -> str:
    origins = loaded.origins()
    lines = [f"{_origin(origins, loaded, problem.key)}: {problem}" for problem in problems[:MOST]]
    more = len(problems) - MOST
    return "\n".join([*lines, f"{loaded.file}: {more} more like these"] if more > 0 else lines)


def _origin(origins: Mapping[str, str], loaded: Loaded, key: str) -> str:
    below = [origin for known, origin in origins.items() if known == key or known.startswith(f"{key}.")]
    given = [origin for origin in below if origin != "default"]
    return given[0] if given else str(loaded.file or "default")
