"""The units: systemd reads them without a complaint, what they run is there, and the service is well shut in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

OVERLAY = Path(__file__).parents[3] / "provisioning" / "rootfs-overlay" / "all" / "usr" / "lib"
IMAGE = OVERLAY.parents[1].with_name("image")
UNIT = OVERLAY / "systemd" / "system" / "dictate.service"
UNITS = sorted(path for root in (OVERLAY, IMAGE / "usr/lib") for path in (root / "systemd/system").glob("*.service"))


def settings() -> dict[str, str]:
    """The unit's assignments; the last of each name."""
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path) -> None:
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    warnings = [line for line in result.stderr.splitlines() if "dictate" in line]
    assert [line for line in warnings if "is not executable" not in line] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_a_unit_runs_of_ours_is_there(unit: Path) -> None:
    programs = set(re.findall(r"(/usr/(?:bin/dictate|lib/dictate/[\w-]+))\b", unit.read_text()))
    for program in programs:
        places = [root / program.lstrip("/") for root in (OVERLAY.parents[1], IMAGE)]
        assert any(place.is_file() and place.stat().st_mode & 0o111 for place in places), program


def test_the_service_is_begun_and_confirmed_by_what_no_update_replaces() -> None:
    text = UNIT.read_text()
    assert "\nExecStartPre=+-/usr/lib/dictate/release begin\n" in text
    assert "\nExecStartPost=+-/usr/lib/dictate/release confirm\n" in text
    assert settings()["Type"] == "notify", "confirm must wait for READY=1"
    assert settings()["RestartPreventExitStatus"] == "79", "a release on trial that ends is tried again"


def test_switching_off_waits_for_no_other_command() -> None:
    """One that takes longer than TimeoutStopSec would end the list before it."""
    after = re.findall(r"^ExecStopPost=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert "systemctl --no-block poweroff" in after[0] and len(after) > 1


def test_the_image_keeps_what_would_listen_or_write_from_starting() -> None:
    masked = {link.name for link in (IMAGE / "etc/systemd/system").iterdir() if link.is_symlink()}
    assert all((IMAGE / "etc/systemd/system" / name).readlink() == Path("/dev/null") for name in masked)
    assert {"ssh.service", "ssh.socket", "wpa_supplicant.service", "systemd-random-seed.service"} <= masked
    presets = (IMAGE / "usr/lib/systemd/system-preset/51-dictation-image.preset").read_text()
    assert "disable systemd-networkd.service" in presets and "enable dictate-ssh" not in presets


def test_ssh_takes_keys_only() -> None:
    """sshd itself is asked in tests/system/virtual_pi: its package would start a server on the machine that runs the
    tests.
    """
    text = (IMAGE / "etc/ssh/dictate_sshd_config").read_text()
    lines = [line.split(maxsplit=1) for line in text.lower().splitlines() if line and not line.startswith("#")]
    keywords = [keyword for keyword, _ in lines]
    assert len(set(keywords)) == len(keywords), "sshd takes the first of two"
    assert not {"include", "match"} & set(keywords), "nothing is decided elsewhere"
    said = dict(lines)
    assert said["passwordauthentication"] == said["kbdinteractiveauthentication"] == "no"
    assert said["permitrootlogin"] == "prohibit-password" and said["allowusers"] == "root"
    assert said["authorizedkeysfile"] == "/run/dictate-setup/authorized_keys"


@pytest.mark.parametrize(("unit", "tenths"), [("dictate.service", 15), ("dictate-wyoming.service", 15)])
def test_the_exposure_stays_low(unit: str, tenths: int) -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={tenths}", UNIT.with_name(unit)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-200:]


def test_a_hang_is_restarted_within_15_seconds() -> None:
    unit = settings()
    hang = sum(float(unit[key]) for key in ("WatchdogSec", "TimeoutAbortSec"))
    assert hang + float(unit["RestartSec"].removesuffix("ms")) / 1_000 <= 15
    assert unit["Restart"] == "always" and unit["StartLimitIntervalSec"] == "0"


def test_the_capture_priority_is_permitted() -> None:
    from device.config.schema import RealtimeSettings

    assert int(settings()["LimitRTPRIO"]) >= RealtimeSettings().capture_priority


def test_the_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = OVERLAY / "sysusers.d" / "dictate.conf"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", config], check=True, capture_output=True)
    assert "dictate:" in (tmp_path / "etc" / "passwd").read_text()
    groups = (tmp_path / "etc" / "group").read_text()
    assert all(re.search(rf"^{name}:.*:dictate$", groups, re.M) for name in ("audio", "gpio", "plugdev", "video"))


GENERATOR = OVERLAY / "systemd/system-generators/dictate-board"


@pytest.mark.parametrize(
    ("model", "mailbox"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", False),
        ("Raspberry Pi Compute Module 4 Rev 1.0", False),
        ("Raspberry Pi Zero 2 W Rev 1.0", False),
        ("QEMU", False),
        ("", False),
        ("Raspberry Pi 5 Model B Rev 1.0", True),
        ("Raspberry Pi Compute Module 5 Rev 1.0", True),
    ],
)
def test_only_a_pi_5_may_open_the_firmwares_mailbox(tmp_path: Path, model: str, mailbox: bool) -> None:
    assert "char-vcio" not in UNIT.read_text()
    (tmp_path / "model").write_bytes(model.encode() + b"\0")
    (tmp_path / "out").mkdir()
    command = [GENERATOR, tmp_path / "out", tmp_path / "early", tmp_path / "late"]
    environment = {"PATH": "/usr/bin:/bin", "DICTATE_MODEL": str(tmp_path / "model")}
    subprocess.run(command, check=True, env=environment)
    written = {path.relative_to(tmp_path / "out"): path.read_text() for path in (tmp_path / "out").rglob("*.conf")}
    assert list(written.values()) == (["[Service]\nDeviceAllow=char-vcio rw\n"] if mailbox else [])


@pytest.mark.parametrize("name", ["dictate", "dictate-setup", "dictate-wifi@"])
def test_what_knows_secrets_leaves_no_core_dump(name: str) -> None:
    (unit,) = (unit for unit in UNITS if unit.stem == name)
    assert "\nLimitCORE=0\n" in unit.read_text()
