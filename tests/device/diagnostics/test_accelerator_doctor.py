"""`dictate doctor` as a command: the chain, its exit status, and a check that fails to look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device import cli
from device.config.schema import Config
from device.diagnostics import doctor
from device.diagnostics.check import Check


def options(tmp_path: Path, *more: str) -> list[str]:
    config = tmp_path / "dictate.toml"
    config.touch()
    return ["doctor", "--config", str(config), "--bundle", str(tmp_path / "bundle"), *more]


def test_a_missing_bundle_is_a_fault_with_the_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(options(tmp_path, "--set", "recognizer.backend=cpu")) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if "fault bundle" in line)
    assert "no bundle here" in lines[at] and "convert/build.py" in lines[at + 1]
    assert any("backend: the CPU, as configured" in line for line in lines)


def test_json_holds_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(options(tmp_path, "--json"))
    found = json.loads(capsys.readouterr().out)["Coral"]
    names = {check["name"] for check in found}
    assert {"Coral on USB", "libedgetpu", "interpreter", "pycoral", "bundle", "backend"} <= names
    assert all(check["state"] in ("ok", "note", "fault") for check in found)


def test_a_group_that_fails_to_look_does_not_hide_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Config, operator: object) -> list[Check]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(doctor, "GROUPS", {"First": broken, **doctor.GROUPS})
    assert cli.main(options(tmp_path)) == 1
    printed = capsys.readouterr().out
    assert "could not be looked at: RuntimeError: a bug" in printed and "Coral on USB" in printed
