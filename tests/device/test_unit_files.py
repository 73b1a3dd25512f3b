"""The service's unit: systemd reads it without a complaint, and finds it well shut in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

OVERLAY = Path(__file__).parents[2] / "provisioning" / "overlay" / "usr" / "lib"
UNIT = OVERLAY / "systemd" / "system" / "dictate.service"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


def settings() -> dict[str, str]:
    """The unit's assignments; the last of each name."""
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))


@needs_systemd
def test_systemd_understands_every_line() -> None:
    result = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True)
    complaints = [line for line in result.stderr.splitlines() if "dictate.service" in line]
    assert [line for line in complaints if "is not executable" not in line] == []


@needs_systemd
def test_the_exposure_stays_low() -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT],
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
    from device.config import Realtime

    assert int(settings()["LimitRTPRIO"]) >= Realtime().capture_priority


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd-sysusers")
def test_the_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = OVERLAY / "sysusers.d" / "dictate.conf"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", config], check=True, capture_output=True)
    assert "dictate:" in (tmp_path / "etc" / "passwd").read_text()
    groups = (tmp_path / "etc" / "group").read_text()
    assert all(re.search(rf"^{name}:.*:dictate$", groups, re.M) for name in ("audio", "gpio", "plugdev", "video"))
