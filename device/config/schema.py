"""Every setting of the appliance: its type, default, unit, range and one sentence of help.

>>> Config().panel.mode
'hold'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from device.config import validators
from device.config.fields import section, setting

USB_ADDRESS = "10.55.0.1"
"""The appliance on the network that the USB cable is, where `web.usb` asks for one (device/system/boot_config.py)."""

STATE = Path("/var/lib/dictate")
"""What the appliance keeps: systemd's StateDirectory=dictate."""


Mode = Literal["two-pass", "streaming", "accurate"]
"""two-pass: the CTC recogniser hears at once, the second one writes the final text of each segment. streaming: the CTC
recogniser alone. accurate: as two-pass, but without lookahead windows, in longer segments, with the widest beam."""

Effort = Literal["auto", "fast", "best"]
"""How wide the second pass searches."""


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """The built model."""

    dir: Path = setting(STATE / "bundle", help="Folder that convert/ wrote.")
    second_pass: Path = setting(STATE / "second-pass", help="The same of the model that writes the final text.")


@dataclass(frozen=True, slots=True)
class AudioSettings:
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
class RecognizerSettings:
    """How words are found."""

    backend: Literal["auto", "coral", "cpu"] = setting(
        "auto",
        help="auto uses a Coral that is plugged in; coral also complains without one; cpu never looks for one.",
    )
    mode: Mode = setting(
        "two-pass",
        help="A second, better model writes the final text; streaming does without; accurate waits for longer pauses.",
    )
    effort: Effort = setting(
        "auto", help="Hypotheses of the second model: as many as there is time for, one, or always eight."
    )
    threads: int = setting(2, low=1, high=16, help="CPU threads for what runs on the CPU.")
    beam: int = setting(0, low=0, high=1_000, help="Hypotheses kept at each frame; 0 = as the bundle was tuned.")
    endpoint_silence_ms: int = setting(700, unit="ms", low=100, high=10_000, help="Pause that ends a segment.")
    max_segment_s: float = setting(25.0, unit="s", low=2, high=120, help="A longer segment is cut at the next gap.")


@dataclass(frozen=True, slots=True)
class LedSettings:
    """Three status LEDs, or one RGB LED."""

    kind: Literal["three", "rgb", "none"] = setting("three", help="What is wired.")
    pins: tuple[int, int, int] = setting(
        (22, 23, 24), low=0, high=27, help="BCM numbers: ready, listening, fault; or red, green, blue."
    )
    active_high: bool = setting(True, help="false for LEDs wired to 3.3 V (or a common anode).")


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """The button and the LEDs."""

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
    leds: LedSettings = section(LedSettings)


@dataclass(frozen=True, slots=True)
class TextSettings:
    """How words become written text."""

    punctuation: Literal["auto", "spoken", "both", "off"] = setting(
        "auto",
        help="auto: the recogniser's, and commands set off by pauses; spoken: what is said; both; off: no commands.",
        was="spoken_punctuation",
        was_values={True: "auto", False: "off"},
    )
    numbers: bool = setting(True, help="Write numbers, times, dates, money and percent as people write them.")
    digits_from: int = setting(10, low=0, high=100, help="Plain numbers below this stay words.")
    english: Literal["us", "uk"] = setting("us", help='"5 p.m." or "5 pm"; whether a pound is £.')
    enter_key: bool = setting(True, help='false: "new line" and "new paragraph" never press Enter.')
    context_timeout_s: float = setting(
        120.0,
        unit="s",
        low=0,
        high=86_400,
        help="After this long, the cursor may be anywhere: start afresh.",
        was="forget_s",
    )


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """What was said, kept before anything is typed."""

    mode: Literal["disk", "memory", "off"] = setting("disk", help="off keeps nothing; memory forgets at exit.")
    dir: Path = setting(STATE / "journal", help="Folder of the JSON lines.")
    max_mb: float = setting(8.0, unit="MB", low=0.01, high=1_024, help="A file this big is rotated.")
    keep: int = setting(8, unit="files", low=1, high=1_000, help="Rotated files kept.")


@dataclass(frozen=True, slots=True)
class KeyboardSettings:
    """The USB keyboard that the Pi pretends to be."""

    enabled: bool = setting(True, help="Type into the computer at the USB-C port.")
    path: Path = setting(Path("/dev/hidg0"), help="The HID gadget, or a named pipe for tests.")
    layout: Literal["us", "uk", "de", "fr"] = setting("us", help="The keyboard layout set on that computer.")
    rate: float = setting(
        100.0, unit="keys/s", low=0, high=500, help="Keys typed per second; 0 = find out by switching Caps Lock."
    )
    queue: int = setting(4_096, unit="edits", low=1, high=100_000, help="Edits that may wait to be typed.")
    host_timeout_s: float = setting(
        10.0,
        unit="s",
        low=0,
        high=3_600,
        help="Text waits this long for a sleeping host, then is not typed.",
        was="patience_s",
    )


@dataclass(frozen=True, slots=True)
class StdoutSettings:
    """Text on standard output."""

    enabled: bool = setting(False, help="Print the text.")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Where the text goes; several at once."""

    journal: JournalSettings = section(JournalSettings)
    keyboard: KeyboardSettings = section(KeyboardSettings)
    stdout: StdoutSettings = section(StdoutSettings)


@dataclass(frozen=True, slots=True)
class PowerSettings:
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
class RealtimeSettings:
    """Cores, priorities and clock."""

    enabled: bool = setting(True, help="false leaves scheduling alone.")
    encoder_cpus: tuple[int, ...] = setting((3,), low=0, high=63, help="Cores of the encoder's thread.")
    decoder_cpus: tuple[int, ...] = setting((2,), low=0, high=63, help="Cores of the decoder's thread.")
    capture_priority: int = setting(10, low=0, high=98, help="SCHED_FIFO priority of capture; 0 = ordinary.")
    governor: str = setting("performance", help="CPU governor while listening; empty leaves it alone.")
    cpufreq: Path = setting(Path("/sys/devices/system/cpu/cpufreq"), help="The kernel's folder of governors.")
    governor_state: Path = setting(Path("/run/dictate/governor.json"), help="Where the governor to put back is noted.")


@dataclass(frozen=True, slots=True)
class VocabularySettings:
    """The user's own words."""

    file: Path = setting(STATE / "words.tsv", help="Written by `dictate words add`.")


@dataclass(frozen=True, slots=True)
class Wyoming:
    """The recogniser as a service for Home Assistant."""

    enabled: bool = setting(False, help="true starts it with the device; whoever reaches it may use it.")
    address: str = setting(
        "0.0.0.0",
        form=validators.ADDRESS,
        help="Where it listens; 0.0.0.0 = every network, 127.0.0.1 = this machine only.",
    )
    port: int = setting(10_300, low=0, high=65_535, help="TCP port; 0 = any that is free.")
    announce: bool = setting(True, help="Let Home Assistant find it by multicast DNS.")


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """What happens, as it happens, for `dictate follow` and the web page."""

    enabled: bool = setting(True, help="Publish state, partial and finished text, level and battery on a local socket.")
    socket: Path = setting(Path("/run/dictate/feed"), help="The Unix socket.")
    group: str = setting("dictate-web", help="Group that may read it beside the appliance's own user.")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The page in a browser."""

    enabled: bool = setting(False, help="Serve it; false = nothing listens.")
    usb: bool = setting(True, help="Also over the USB cable, as a network card beside the keyboard (image only).")
    address: str = setting(
        "",
        form=validators.OPTIONAL_ADDRESS,
        help="Also on this address of the device; 0.0.0.0 = on every network.",
    )
    port: int = setting(8_080, low=1_024, high=65_535, help="TCP port.")
    token: str = setting(
        "", form=validators.TOKEN, secret=True, help="What a browser must know once; empty = a new one at each start."
    )
    operations: Path = setting(
        Path("/run/dictate-web-operations"), help="Unix socket behind which words and settings are changed."
    )
    settings: Path = setting(STATE / "settings.toml", help="What was set on the page; taken on top of this file.")


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """The machine itself; `dictate setup` reads it at boot from the image's card."""

    hostname: str = setting("dictate", form=validators.HOSTNAME, help="Its name in a network.")
    ssh_key: str = setting(
        "", form=validators.SSH_KEY, help="Who may log in as root by SSH; empty = nobody, SSH is off."
    )
    wifi_ssid: str = setting("", form=validators.SSID, help="The Wi-Fi to join; empty = the radio stays off.")
    wifi_password: str = setting(
        "", form=validators.WIFI_PASSWORD, secret=True, help="Its password; empty = an open one."
    )
    wifi_country: str = setting("", form=validators.COUNTRY, help="Where the radio is used; Wi-Fi needs it.")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set."""

    bundle: BundleSettings = section(BundleSettings)
    audio: AudioSettings = section(AudioSettings)
    recognizer: RecognizerSettings = section(RecognizerSettings)
    panel: PanelSettings = section(PanelSettings)
    text: TextSettings = section(TextSettings)
    sinks: SinkSettings = section(SinkSettings)
    power: PowerSettings = section(PowerSettings)
    realtime: RealtimeSettings = section(RealtimeSettings)
    vocabulary: VocabularySettings = section(VocabularySettings)
    wyoming: Wyoming = section(Wyoming)
    feed: FeedSettings = section(FeedSettings)
    web: WebSettings = section(WebSettings)
    system: SystemSettings = section(SystemSettings)
