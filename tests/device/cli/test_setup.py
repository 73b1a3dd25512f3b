"""What `dictation.toml` on the card does to the machine, whatever is in it."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from needs import Need, skip

from device import cli
from device.cli.setup import IDLE, Hands, is_image, setup
from device.config import fields, loader, schema, skip_invalid, toml_lines
from device.config.loader import ConfigError
from device.config.schema import Config
from device.system import boot_config
from device.system.boot_config import CONFIGURATION, ERROR, KEYS, WIFI, WIRED, WIRELESS

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me@home"
WHOLE = f"""
[system]
hostname = "desk"
ssh_key = "{KEY}"
wifi_ssid = "Küche \\"5\\""
wifi_password = "correct horse"
wifi_country = "DE"

[panel]
button_pin = 5
"""


IN_MEMORY = loader.load(None, ["sinks.journal.mode=memory"], {}).config
"""The defaults, but that nothing dictated is kept on the disk."""


class Noted(dict[str, object]):
    """Hands that note what they would have done."""

    def hands(self, now: float = 2e9, mounted: bool = True) -> Hands:
        return Hands(
            lambda name: self.update(name=name),
            lambda units: self.update(units=units),
            lambda seconds: self.update(clock=seconds),
            lambda: now,
            lambda path: mounted,
        )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "card").mkdir()
    return tmp_path


def boot(root: Path, content: bytes | str | None, **kind: bool) -> tuple[tuple[str, ...], Noted]:
    """Start a machine with a file on its card."""
    file = root / "card" / "dictation.toml"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    noted = Noted()
    return setup(file, root, noted.hands(**kind)), noted


def taken(root: Path) -> Config:
    """The configuration that the appliance then reads, as strictly as any command does."""
    return loader.load(root / CONFIGURATION, environ={}).config


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_whole_file_is_applied(root: Path) -> None:
    told, noted = boot(root, WHOLE)
    assert told == () and not (root / ERROR).exists()
    assert noted == {"name": "desk", "units": ("systemd-networkd.service", "dictate-ssh.service")}
    assert (root / KEYS).read_text() == f"{KEY}\n"
    assert mode(root / KEYS) == mode(root / WIFI) == 0o600
    assert "Type=ether" in (root / WIRED).read_text() and "Type=wlan" in (root / WIRELESS).read_text()
    assert taken(root).panel.button_pin == 5
    assert "correct horse" not in (root / CONFIGURATION).read_text(), "the appliance need not know the password"


def test_without_being_asked_there_is_no_network_and_no_login(root: Path) -> None:
    for content in (None, "", "\n", "[panel]\nbutton_pin = 5\n"):
        told, noted = boot(root, content)
        assert told == () and noted == {"name": "dictate"}
        assert sorted(path.name for path in (root / boot_config.FOLDER).iterdir()) == ["dictation.toml"]
        assert not (root / WIRED).exists() and not (root / WIRELESS).exists()


def test_what_is_no_longer_asked_for_is_taken_back(root: Path) -> None:
    boot(root, WHOLE + "[audio]\nrat = 1\n")
    assert all((root / name).exists() for name in boot_config.OWNED)
    boot(root, "")
    assert [name for name in boot_config.OWNED if (root / name).exists()] == [CONFIGURATION]


def test_one_wrong_key_costs_only_itself(root: Path) -> None:
    told, noted = boot(root, WHOLE + "buton_pin = 3\n\n[audio]\nblock_ms = 250\nrate = 48000\n")
    file = root / "card" / "dictation.toml"
    assert told == (
        f"{file}:11: panel.buton_pin: no such key; nearest: panel.button_pin",
        f"{file}:14: audio.block_ms = 250: must be an integer, 10 to 100 ms",
    )
    assert boot_config.warnings(root) == told
    assert noted["name"] == "desk" and (root / KEYS).exists()
    assert (taken(root).audio.rate, taken(root).audio.block_ms, taken(root).panel.button_pin) == (48_000, 100, 5)


@pytest.mark.parametrize(
    "content",
    [
        "[sinks.journal]\nmode = 'none'\n",
        "[sinks.journal]\nmode = false\n",
        "[sinks.journal]\nmoed = 'off'\n",
        "[sinks.journal]\nMode = 'off'\n",
        "[sinks.jurnal]\nmode = 'off'\n",
        "[journal]\nmode = 'off'\n",
        "mode = 'off'\n",
        "[sink]\njournal.mode = 'off'\n",
        "sinks = 3\n",
        "sinks.journal = 'off'\n",
        "[sinks.journal]\nmode = off\n",
        "[sinks.journal]\nmode 'off'\n",
        "[sinks.journal]\nmode = 'disk'\nmode = 'off'\n",
        "[sinks.journal\nmode = off\n",
        "[\nmode = 'off'\n",
        "journal off\n",
        b"[sinks.journal]\nmode = 'off\xff'\n",
        b"[sinks.journal\xff]\nmode = 'off'\n",
        "[sinks.journal]\nmode = 'off'\n".encode("utf-16"),
        "[sinks.journal]\nmode = 'off'\n" + "#" * loader.LARGEST,
    ],
)
def test_what_may_have_asked_for_no_journal_never_gets_one_on_the_disk(root: Path, content: str | bytes) -> None:
    told, _ = boot(root, content)
    assert told
    assert taken(root).sinks.journal.mode == "memory"


@pytest.mark.parametrize(
    ("content", "journal"),
    [
        (None, "disk"),
        ("", "disk"),
        ("[panel]\nbuton_pin = 3\n", "disk"),
        ("[sinks.journal]\nmode = 'off'\nkeep = 'x'\n[panel]\nbuton_pin = 3\n", "off"),
        ("[sinks.journal]\nmode = 'off'\n[journal]\nmode = 'disk'\n", "off"),
        ("[sinks.journal]\nmode = 'off'\n[panel\n", "off"),
        ("[sinks.journal\nmode = 'off'\n", "off"),
        ("[sinks.journal]\nmode = 'off'\nmode = 'disk'\n", "off"),
        ("[sinks.journal]\nmode = 'off'\nmode = off\n", "off"),
        ("[panel]\nmode = hold\n", "disk"),
        ("[sinks.journal]\nmode = 'disk'\n[journal]\nmode = 'off'\n", "disk"),
    ],
)
def test_what_has_been_said_of_the_journal_holds_whatever_else_is_wrong(
    root: Path, content: str | None, journal: str
) -> None:
    boot(root, content)
    assert taken(root).sinks.journal.mode == journal


def test_without_the_card_nothing_dictated_is_kept_on_the_disk(root: Path) -> None:
    boot(root, None, mounted=False)
    assert taken(root).sinks.journal.mode == "memory"


def test_a_link_that_leads_nowhere_is_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the image /etc/dictate/dictation.toml links to what `dictate setup` writes at boot, unless that fails."""
    link = tmp_path / "dictation.toml"
    monkeypatch.setattr(loader, "DEFAULT_FILE", link)
    assert skip_invalid.load(link, environ={})[0].config == Config(), "the file need not be there"
    link.symlink_to("nowhere")
    loaded, told = skip_invalid.load(link, environ={})
    assert loaded.config.sinks.journal.mode == "memory" and "no such file" in told[0]
    with pytest.raises(ConfigError, match="no such file"):
        loader.load(link, environ={})


def test_a_command_line_still_chooses_the_journal(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[journal]\nmode = 'off'\n")
    loaded, _ = skip_invalid.load(tmp_path / "x.toml", ["sinks.journal.mode=disk"], {})
    assert loaded.config.sinks.journal.mode == "disk"


def test_keys_that_conflict_are_both_left_out(root: Path) -> None:
    told, _ = boot(root, "panel.mode = 'toggle'\npower.low_percent = 3\n\n[system]\nwifi_ssid = 'home'\n")
    assert [line.rsplit(": ", 1)[1] for line in told] == [
        "must be below power.low_percent",
        'must name the country, e.g. "DE", while system.wifi_ssid names a network',
    ]
    tree = taken(root)
    assert (tree.panel.mode, tree.power.low_percent, tree.system.wifi_ssid) == ("toggle", 10.0, "")
    assert not (root / WIFI).exists(), "no radio without a country"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[panel]\nmode = 'toggle'\n".encode("utf-16"), ": is UTF-16; save it as UTF-8"),
        (b"a = 1\n" * 2_000_000, ": larger than 64 KiB: is it a configuration?"),
        (b"x\n" * 41, ": not valid TOML: more than 40 of its lines are wrong"),
        (b"\xff\n" * 41, ":1: byte 0xff is not UTF-8; save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_the_defaults(root: Path, content: bytes, message: str) -> None:
    told, noted = boot(root, content)
    assert len(told) == 1 and message in told[0] and told[0].startswith(str(root / "card" / "dictation.toml"))
    assert noted == {"name": "dictate"}
    assert taken(root) == IN_MEMORY


@pytest.mark.parametrize("bad", [b"a = " + b"[" * 5_000, b"a = " + b"9" * 5_000, b"\x00" * 4_096])
def test_a_line_that_may_have_been_anything_keeps_the_journal_in_memory(root: Path, bad: bytes) -> None:
    told, _ = boot(root, bad + b"\n[panel]\nmode = 'toggle'\n")
    assert len(told) == 2 and ":1: not valid TOML: " in told[0] and "kept in memory only" in told[1]
    assert taken(root) == replace(IN_MEMORY, panel=schema.PanelSettings(mode="toggle"))


def test_a_bad_line_costs_only_itself(root: Path) -> None:
    content = (
        b"[panel\nmode = 'toggle'\nbutton_pin = 5 6\n[audio\nrate = 48000\n# K\xfcche\nblock_ms = '50\n[system]\n"
        b"hostname = \"desk\nwifi_password = 'hush'hush\n"
    )
    told, _ = boot(root, content)
    file = root / "card" / "dictation.toml"
    assert [line.partition(": not valid TOML: ")[0] for line in told] == [
        f"{file}:6: byte 0xfc is not UTF-8; save it as UTF-8",
        f"{file}:1: panel",
        f"{file}:3: panel.button_pin",
        f"{file}:4: audio",
        f"{file}:7: audio.block_ms",
        f"{file}:9: system.hostname",
        f"{file}:10: system.wifi_password",
    ]
    assert not any("hush" in line for line in told)
    assert taken(root) == Config(panel=schema.PanelSettings(mode="toggle"), audio=schema.AudioSettings(rate=48_000))


@pytest.mark.parametrize("kind", ["windows", "bom"])
def test_what_editors_do_to_a_file_is_no_matter(root: Path, kind: str) -> None:
    content = WHOLE.encode()
    content = content.replace(b"\n", b"\r\n") if kind == "windows" else b"\xef\xbb\xbf" + content
    told, noted = boot(root, content)
    assert told == () and noted["name"] == "desk"


def test_windows_line_ends_do_not_move_line_numbers(root: Path) -> None:
    told, _ = boot(root, b"[panel]\r\n\r\nmode = 'x'\r\n")
    assert ":3: panel.mode" in told[0]


def test_a_card_that_is_not_mounted_is_told(root: Path) -> None:
    told, _ = boot(root, None, mounted=False)
    assert "not mounted" in told[0] and taken(root) == IN_MEMORY


def test_a_password_is_in_no_message(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (
        "system.wifi_password = 'hush'",
        "system.wifi_pasword = 'hush-hush'",
        "[sytem]\nwifi_password = 'hush-hush'",
        "[sytem]\nx.wifi_passwd = 'hush-hush'",
        "psk = 'hush-hush'",
        "key = 'hush-hush'",
        "[wifi]\npsk = 'hush-hush'",
        "[system.wifi]\nkey = 'hush-hush'",
        "[network]\nsecrets = ['hush-hush']",
        "[[wifi]]\npsk = 'hush-hush'",
        "system = 'hush-hush'",
        "panel = {wifi = 'hush-hush', leds = 'hush-hush'}",
    ):
        told, _ = boot(root, wrong)
        assert told and not any("hush" in line for line in told)
        assert "hush" not in (root / CONFIGURATION).read_text()
    file = root / "good.toml"
    file.write_text('system.wifi_password = "hush-hush"\n')
    assert cli.main(["config", "--config", str(file), "--only", "system"]) == 0
    assert cli.main(["config", "--set", "system.wifi_password=hush-hush", "--only", "system"]) == 0
    shown = capsys.readouterr().out
    with pytest.raises(ConfigError) as caught:
        loader.load(None, ["wifi.psk=hush-hush"], {})
    assert "hush" not in str(caught.value)
    assert "hush" not in shown and shown.count('wifi_password = "********"') == 2


def test_a_message_is_one_line_whatever_a_key_or_value_holds(root: Path) -> None:
    told, _ = boot(root, '"a\\n\\u001b[2J" = "\\u001b[2J\\n' + "x" * 500 + '"\nbig = 0x' + "f" * 5_000)
    assert len(told) == 2 and all(line.isprintable() and len(line) < 400 for line in told)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("hostname", ["a", "Desk-2", "0" * 63], ["", "-a", "a-", "a.b", "a b", "ü", "0" * 64, "a\n"]),
        ("wifi_ssid", ["", "x" * 32, "ü" * 16], ["x" * 33, "ü" * 17]),
        ("wifi_password", ["", "x" * 8, "x" * 63, "0aF" * 21 + "0"], ["x" * 7, "x" * 64, "pässword", "12345678\n"]),
        ("wifi_country", ["", "DE"], ["de", "DEU", "00"]),
        ("ssh_key", ["", KEY, KEY.rsplit(" ", 1)[0]], ["AAAA", f'command="sh" {KEY}', f"{KEY}\n{KEY}", KEY[:40]]),
    ],
)
def test_each_text_has_its_form(key: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        fields.build(Config, {"system": {key: text}})
    for text in bad:
        with pytest.raises(fields.SettingError, match=f"system.{key} = .* must be"):
            fields.build(Config, {"system": {key: text}})


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_real_ssh_keys_are_taken(tmp_path: Path, kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "key"], check=True)
    line = (tmp_path / "key.pub").read_text().strip()
    fields.build(Config, {"system": {"ssh_key": line}})


def test_the_key_of_a_network_is_derived_as_the_standard_says() -> None:
    """IEEE 802.11, J.4.2, test case 1."""
    system = schema.SystemSettings(wifi_ssid="IEEE", wifi_password="password", wifi_country="US")
    text = boot_config.supplicant(system)
    assert "psk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e\n" in text
    assert f"ssid={b'IEEE'.hex()}\n" in text and text.startswith("country=US\n")
    assert "key_mgmt=NONE" in boot_config.supplicant(schema.SystemSettings(wifi_ssid="open", wifi_country="US"))
    assert f"psk={'ab' * 32}\n" in boot_config.supplicant(schema.SystemSettings(wifi_ssid="x", wifi_password="AB" * 32))


HOSTILE = {
    "a key of 400 parts": ".".join("a" * 400) + " = 1",
    "a key of 20,000 parts": ".".join("a" * 20_000) + " = 1",
    "a header of 20,000 parts": "[" + ".".join("a" * 20_000) + "]\nx = 1",
    "a quoted key of 15,000 parts": ".".join(['"x"'] * 15_000) + " = 1",
    "blank lines": "\n" * 60_000,
    "a text of blank lines": 'a = """' + "\n" * 60_000 + '"""',
    "an array of blank lines": "a = [" + "\n" * 60_000 + "]",
    "6,000 unknown keys": "".join(f"a{i} = 1\n" for i in range(6_000)),
    "a long unknown key": "a" * 60_000 + " = 1",
    "an unknown table with 6,000 keys": "[x]\n" + "".join(f"a{i} = 1\n" for i in range(6_000)),
    "a long header, then 4,000 keys": f"[{'a' * 20_000}]\n" + "".join(f"a{i} = 1\n" for i in range(4_000)),
    "10,000 tables": "[[a]]\n" * 10_000,
    "lists in lists": "audio.rate = " + "[" * 150 + "]" * 150,
    "tables in tables": "audio.rate = " + "{a = " * 100 + "1" + "}" * 100,
}


@pytest.mark.parametrize("more", HOSTILE.values(), ids=HOSTILE)
def test_name_network_and_key_are_right_whatever_else_is_in_the_file(root: Path, more: str) -> None:
    """Some of these ended in a traceback, others took minutes."""
    known = "system = " + fields.format_value(
        {"hostname": "desk", "ssh_key": KEY, "wifi_ssid": "home", "wifi_country": "DE"}
    )
    told, noted = boot(root, f"{known}\n{more}\n")
    assert noted == {"name": "desk", "units": ("systemd-networkd.service", "dictate-ssh.service")}
    assert (root / KEYS).read_text() == f"{KEY}\n" and b"home".hex() in (root / WIFI).read_text()
    assert bool(told) == bool(more.strip())
    assert len(told) < 50 and all(len(line) < 400 for line in told), "a serial console is slow"


def test_the_work_grows_with_the_text() -> None:
    """Calls of tomllib are counted, in characters, rather than timed."""
    for kind in ("\n", "a = 1\n", "[t]\n", 'a = """\n"""\n'):
        parsed = 0

        def counted(text: str) -> dict[str, object]:
            nonlocal parsed
            parsed += len(text)
            return {}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(toml_lines.tomllib, "loads", counted)
            toml_lines.lines_of(kind * 2_000)
        assert parsed <= len(kind) * 2_000


def test_what_lies_in_the_journals_folder_does_not_stop_it(root: Path) -> None:
    journal = root / "data/dictate/journal"
    journal.mkdir(parents=True)
    (journal / "dangling").symlink_to("nowhere")
    (journal / "loop").symlink_to("loop")
    (journal / "elsewhere").symlink_to("/proc/self/stat")
    os.mkfifo(journal / "pipe")
    (journal / "folder").mkdir()
    told, noted = boot(root, WHOLE, now=1.0)
    assert told == () and noted["name"] == "desk" and "clock" not in noted


@pytest.mark.parametrize("error", [OSError(1, "Operation not permitted"), OverflowError("too large")])
def test_what_cannot_be_done_does_not_keep_the_rest_from_being_done(root: Path, error: Exception) -> None:
    def refuse(*_: object) -> None:
        raise error

    (root / "data/dictate/journal").mkdir(parents=True)
    (root / "data/dictate/journal/x").touch()
    (root / "card/dictation.toml").write_text(WHOLE)
    hands = Hands(refuse, refuse, refuse, lambda: 1.0, lambda path: True)
    told = setup(root / "card/dictation.toml", root, hands)
    assert len(told) == 3 and all("could not be set" in line for line in told)
    assert (root / KEYS).exists() and (root / WIFI).exists()


def test_a_clock_without_a_battery_goes_on_where_it_stopped(root: Path) -> None:
    power = root / "data/dictate/power"
    power.mkdir(parents=True)
    (power / "log").touch()
    os.utime(power / "log", (1_900_000_000, 1_900_000_000))
    noted = Noted()
    setup(root / "card/x.toml", root, noted.hands(now=1_700_000_000))
    assert noted["clock"] == 1_900_000_000
    noted = Noted()
    setup(root / "card/x.toml", root, noted.hands(now=1_900_000_001))
    assert "clock" not in noted


def trees() -> st.SearchStrategy[dict[str, object]]:
    value = st.one_of(st.text(max_size=9), st.integers(), st.booleans(), st.floats(), st.lists(st.integers(0, 30)))
    parts = [part for leaf in fields.walk(Config) for part in leaf.key.split(".")]
    name = st.one_of(st.sampled_from(parts), st.text(max_size=4))
    table = st.dictionaries(name, value, max_size=4)
    for _ in range(2):
        table = st.dictionaries(name, st.one_of(value, table), max_size=4)
    return table


def toml(table: dict[str, object]) -> str:
    return "".join(f"{toml_lines.bare(name)} = {fields.format_value(value)}\n" for name, value in table.items())


@hypothesis.settings(max_examples=50)
@given(table=trees())
@example(table={"audio": {"source": "file"}, "bundle": 3})
def test_any_toml_leaves_a_configuration_that_is_taken_strictly(table: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dictation.toml").write_text(toml(table), encoding="utf-8")
        told = setup(root / "dictation.toml", root, IDLE)
        loaded, again = skip_invalid.load(root / "dictation.toml", environ={})
        assert again == told and all(line.isprintable() for line in told)
        secret = bool(loaded.config.system.wifi_password)
        assert secret or taken(root) == loaded.config
        assert isinstance(taken(root), Config)
        try:
            assert loader.load(root / "dictation.toml", environ={}).config == loaded.config and not told
        except ConfigError:
            assert told


@given(content=st.binary(max_size=200))
def test_any_bytes_do(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "dictation.toml").write_bytes(content)
        setup(root / "dictation.toml", root, IDLE)
        assert isinstance(taken(root), Config)


def test_the_command_does_it_below_a_folder_and_tells_on_standard_error(root: Path) -> None:
    (root / "card/dictation.toml").write_text(WHOLE + "x = 1\n")
    command = [sys.executable, "-m", "device.cli", "setup", "--root", root, "--card", root / "card/dictation.toml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1 and "panel.x: no such key" in done.stderr
    assert (root / KEYS).exists()


def test_a_machine_that_is_not_our_image_is_left_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_image(root)
    assert is_image(Path(__file__).parents[3] / "provisioning" / "rootfs-overlay" / "image")
    if is_image(Path("/")):
        skip(Need.HARDWARE, "a machine that is not an image of this project")
    name = socket.gethostname()
    assert cli.main(["setup", "--card", str(root / "card/dictation.toml")]) == 2
    assert "--root DIR" in capsys.readouterr().err and socket.gethostname() == name


TEMPLATE = (
    Path(__file__).parents[3] / "provisioning" / "rootfs-overlay" / "image" / "boot" / "firmware" / "dictation.toml"
)


def test_the_file_on_a_new_card_has_every_setting_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "--template"]) == 0
    text = TEMPLATE.read_text(encoding="utf-8")
    assert text == capsys.readouterr().out, f"run: dictate config --template > {TEMPLATE.name}"
    assert loader.load(TEMPLATE, environ={}).config == Config()
    assert len(text) < loader.LARGEST / 2


def test_every_setting_of_a_new_card_can_be_uncommented(tmp_path: Path) -> None:
    text = re.sub(r"^#(\w+ = )", r"\1", TEMPLATE.read_text(encoding="utf-8"), flags=re.M)
    (tmp_path / "dictation.toml").write_text(text, encoding="utf-8")
    assert loader.load(tmp_path / "dictation.toml", environ={}).config == Config()
    assert text.count("\n[") == len({leaf.key.rpartition(".")[0] for leaf in fields.walk(Config)})
