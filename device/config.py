"""The appliance's configuration: one TOML file read once into one typed, frozen tree.

>>> config = load(None, overrides=["panel.mode=toggle"]).config
>>> config.panel.mode, config.audio.block_ms
('toggle', 100)
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from device import forms, settings, tomllines
from device.settings import Problem, section, setting
from models.errors import UsageError

DEFAULT_FILE = Path("/etc/dictate/dictation.toml")
"""Where `dictate` looks when no file is named; it need not exist."""

LARGEST = 64 << 10
"""Bytes of a configuration file."""

MOST = 40
"""Problems that are told one by one: a serial console is slow."""

STATE = Path("/var/lib/dictate")
"""What the appliance keeps: systemd's StateDirectory=dictate."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The built model."""

    dir: Path = setting(STATE / "bundle", help="Folder that convert/ wrote.")


@dataclass(frozen=True, slots=True)
class Audio:
    """Where sound comes from."""

    source: Literal["microphone", "file"] = setting("microphone", help="PortAudio, or a WAV file for tests.")
    file: str = setting("", help="The WAV file, when source is file.")
    device: str = setting("", help="Part of the microphone's name, or its USB id as vid:pid; empty = default.")
    rate: int = setting(16_000, unit="Hz", low=8_000, high=192_000, help="Capture rate; other than 16000 is resampled.")
    block_ms: int = setting(100, unit="ms", low=10, high=100, help="Sound per chunk.")
    preroll_ms: int = setting(300, unit="ms", low=0, high=2_000, help="Sound kept from before the press.")
    keep_open: bool = setting(True, help="Listen for the pre-roll; false closes the microphone until the press.")
    retry_s: float = setting(1.0, unit="s", low=0.1, high=60, help="Pause between tries to reopen a lost one.")


@dataclass(frozen=True, slots=True)
class Recognizer:
    """How words are found."""

    backend: Literal["auto", "coral", "cpu"] = setting(
        "auto",
        help="auto uses a Coral that is plugged in; coral also complains without one; cpu never looks for one.",
    )
    threads: int = setting(2, low=1, high=16, help="CPU threads for what runs on the CPU.")
    beam: int = setting(0, low=0, high=1_000, help="Hypotheses kept at each frame; 0 = as the bundle was tuned.")
    endpoint_silence_ms: int = setting(700, unit="ms", low=100, high=10_000, help="Pause that ends a segment.")
    max_segment_s: float = setting(25.0, unit="s", low=2, high=120, help="A longer segment is cut at the next gap.")


@dataclass(frozen=True, slots=True)
class Leds:
    """Three status LEDs, or one RGB LED."""

    kind: Literal["three", "rgb", "none"] = setting("three", help="What is wired.")
    pins: tuple[int, int, int] = setting(
        (22, 23, 24), low=0, high=27, help="BCM numbers: ready, listening, fault; or red, green, blue."
    )
    active_high: bool = setting(True, help="false for LEDs wired to 3.3 V (or a common anode).")


@dataclass(frozen=True, slots=True)
class Panel:
    """The button and the lights."""

    enabled: bool = setting(True, help="false on a machine without GPIO.")
    pins: Literal["lgpio", "mock"] = setting("lgpio", help="gpiozero's pin factory; mock is for tests.")
    chip: int = setting(0, low=0, high=16, help="Number N of /dev/gpiochipN.")
    button_pin: int = setting(17, low=0, high=27, help="BCM number of the button.")
    pull_up: bool = setting(True, help="true for a button to ground.")
    mode: Literal["hold", "toggle"] = setting("hold", help="Talk while held, or between two taps.")
    debounce_ms: int = setting(20, unit="ms", low=0, high=200, help="Contact bounce that is ignored.")
    double_tap_ms: int = setting(
        400, unit="ms", low=100, high=2_000, help="Two taps within this delete the last dictation."
    )
    shutdown_press_s: float = setting(5.0, unit="s", low=2, high=30, help="A press this long shuts down.")
    leds: Leds = section(Leds)


@dataclass(frozen=True, slots=True)
class Text:
    """How words become written text."""

    spoken_punctuation: bool = setting(True, help='Write "," for "comma" and so on.')
    numbers: bool = setting(True, help="Write numbers, times, dates, money and percent as people write them.")
    digits_from: int = setting(10, low=0, high=100, help="Plain numbers below this stay words.")
    english: Literal["us", "uk"] = setting("us", help='"5 p.m." or "5 pm"; whether a pound is £.')
    forget_s: float = setting(
        120.0, unit="s", low=0, high=86_400, help="After this long, the cursor may be anywhere: start afresh."
    )


@dataclass(frozen=True, slots=True)
class Journal:
    """What was said, kept before anything is typed."""

    mode: Literal["disk", "memory", "off"] = setting("disk", help="off keeps nothing; memory forgets at exit.")
    dir: Path = setting(STATE / "journal", help="Folder of the JSON lines.")
    max_mb: float = setting(8.0, unit="MB", low=0.01, high=1_024, help="A file this big is rotated.")
    keep: int = setting(8, unit="files", low=1, high=1_000, help="Rotated files kept.")


@dataclass(frozen=True, slots=True)
class Keyboard:
    """The USB keyboard that the Pi pretends to be."""

    enabled: bool = setting(True, help="Type into the computer at the USB-C port.")
    path: Path = setting(Path("/dev/hidg0"), help="The HID gadget, or a named pipe for tests.")
    layout: Literal["us", "uk", "de", "fr"] = setting("us", help="The keyboard layout set on that computer.")
    rate: float = setting(100.0, unit="keys/s", low=1, high=500, help="Keys typed per second.")
    queue: int = setting(4_096, unit="edits", low=1, high=100_000, help="Edits that may wait to be typed.")
    patience_s: float = setting(
        10.0, unit="s", low=0, high=3_600, help="Text waits this long for a sleeping host, then is not typed."
    )


@dataclass(frozen=True, slots=True)
class Stdout:
    """Text on standard output."""

    enabled: bool = setting(False, help="Print the text.")


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the text goes; several at once."""

    journal: Journal = section(Journal)
    keyboard: Keyboard = section(Keyboard)
    stdout: Stdout = section(Stdout)


@dataclass(frozen=True, slots=True)
class Power:
    """What the battery gives and what is left."""

    meter: str = setting("auto", help="auto, none, or the meter's folder in sysfs.")
    reverse_current: bool = setting(
        False, help="true where an INA219 or INA226 is wired so that current into the battery is positive."
    )
    interval_s: float = setting(1.0, unit="s", low=0.1, high=600, help="Time between samples.")
    flush_s: float = setting(60.0, unit="s", low=0, high=3_600, help="Samples wait this long in memory.")
    low_percent: float = setting(10.0, unit="%", low=0, high=100, help="Warn on the LEDs below this.")
    shutdown_percent: float = setting(4.0, unit="%", low=0, high=100, help="Shut down cleanly below this.")
    battery_wh: float = setting(37.0, unit="Wh", low=0.1, high=10_000, help="Energy of a full battery.")
    full_v: float = setting(4.15, unit="V", low=1, high=60, help="Voltage at 100 %, where only volts are known.")
    empty_v: float = setting(3.3, unit="V", low=1, high=60, help="Voltage at 0 %.")
    dir: Path = setting(STATE / "power", help="Folder of the CSV log.")
    max_mb: float = setting(8.0, unit="MB", low=0.01, high=1_024, help="A log this big is rotated.")
    keep: int = setting(8, unit="files", low=1, high=1_000, help="Rotated logs kept.")


@dataclass(frozen=True, slots=True)
class Realtime:
    """Cores, priorities and clock."""

    enabled: bool = setting(True, help="false leaves scheduling alone.")
    encoder_cpus: tuple[int, ...] = setting((3,), low=0, high=63, help="Cores of the encoder's thread.")
    decoder_cpus: tuple[int, ...] = setting((2,), low=0, high=63, help="Cores of the decoder's thread.")
    capture_priority: int = setting(10, low=0, high=98, help="SCHED_FIFO priority of capture; 0 = ordinary.")
    governor: str = setting("performance", help="CPU governor while listening; empty leaves it alone.")
    cpufreq: Path = setting(Path("/sys/devices/system/cpu/cpufreq"), help="The kernel's folder of governors.")
    governor_state: Path = setting(Path("/run/dictate/governor.json"), help="Where the governor to put back is noted.")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The user's own words."""

    file: Path = setting(STATE / "words.tsv", help="Written by `dictate words add`.")


@dataclass(frozen=True, slots=True)
class System:
    """The machine itself; `dictate setup` reads it at boot from the image's card."""

    hostname: str = setting("dictate", form=forms.HOSTNAME, help="Its name in a network.")
    ssh_key: str = setting("", form=forms.SSH_KEY, help="Who may log in as root by SSH; empty = nobody, SSH is off.")
    wifi_ssid: str = setting("", form=forms.SSID, help="The Wi-Fi to join; empty = the radio stays off.")
    wifi_password: str = setting("", form=forms.WIFI_PASSWORD, secret=True, help="Its password; empty = an open one.")
    wifi_country: str = setting("", form=forms.COUNTRY, help="Where the radio is used; Wi-Fi needs it.")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set."""

    bundle: Bundle = section(Bundle)
    audio: Audio = section(Audio)
    recognizer: Recognizer = section(Recognizer)
    panel: Panel = section(Panel)
    text: Text = section(Text)
    sinks: Sinks = section(Sinks)
    power: Power = section(Power)
    realtime: Realtime = section(Realtime)
    vocabulary: Vocabulary = section(Vocabulary)
    system: System = section(System)


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
    overridden: Mapping[str, str] = field(default_factory=dict)

    def origins(self) -> dict[str, str]:
        """For every key: ``default``, ``file:line`` or the override as it was given."""
        lines = tomllines.lines_of(self.text)
        found = {leaf.key: "default" for leaf in settings.walk(Config)}
        found |= {key: f"{self.file}:{line}" for key, line in lines.items()}
        return found | dict(self.overridden)


def load(
    file: Path | None,
    overrides: Iterable[str] = (),
    environ: Mapping[str, str] = os.environ,
    left_out: Collection[str] = (),
) -> Loaded:
    """Read and check `file` (None: defaults only), then `overrides`, each ``key=value``.

    :data:`DEFAULT_FILE` may be missing; any other file, and what a link leads to, may not. Relative paths in the file
    start from its folder, those in overrides from the working directory. DICTATE_BUNDLE of `environ` is the bundle's
    folder where neither says another. Keys in `left_out` are not taken from the file. Raises :class:`ConfigError`.
    """
    text = _read(file) if file is not None else ""
    try:
        table: dict[str, Any] = settings.without(tomllines.parse(text), left_out)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None
    given: dict[str, str] = {}
    if bundle := environ.get("DICTATE_BUNDLE"):
        if "bundle.dir" not in set(tomllines.flatten(table)):
            given["bundle.dir"] = "DICTATE_BUNDLE"
        table = settings.merge(settings.nested("bundle.dir", str(Path(bundle).absolute())), table)
    paths = {leaf.key for leaf in settings.walk(Config) if leaf.type is Path}
    said = {leaf.key for leaf in settings.walk(Config) if not leaf.spec.secret}
    for override in overrides:
        try:
            key, value = settings.parse_override(override)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if key in paths and isinstance(value, str) and value:
            value = str(Path(value).expanduser().absolute())
        table = settings.merge(table, settings.nested(key, value))
        given[key] = f"--set {override}" if key in said else f"--set {key}={settings.HIDDEN}"
    loaded = Loaded(Config(), file, text, given)
    try:
        config = settings.build(Config, table, file.parent if file else Path())
    except settings.SettingError as error:
        raise ConfigError(_report(loaded, error.problems), error.problems) from None
    if problems := tuple(conflicts(config)):
        raise ConfigError(_report(loaded, problems), problems)
    return Loaded(config, file, text, given)


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


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        if file == DEFAULT_FILE and not file.is_symlink():  # on the image a link to what `dictate setup` writes
            return ""
        raise ConfigError(f"{file}: no such file; name another with --config") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{file}: larger than {LARGEST >> 10} KiB: is it a configuration?")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{file}: is UTF-16; save it as UTF-8")
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
