"""What the machine lacks is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.emulator import preflight


def test_missing_programs_are_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fdtput").touch(mode=0o755)
    monkeypatch.setattr(preflight, "SEARCH", str(tmp_path))
    assert preflight.missing_programs(["fdtput", "qemu-img"]) == ["qemu-img"]


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    assert "root" in preflight.building_refused()


def test_a_kernel_without_foreign_programs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    (tmp_path / "register").touch()
    monkeypatch.setattr(preflight, "BINFMT", tmp_path)
    monkeypatch.setattr(preflight.os, "access", lambda path, mode: False)
    assert "binfmt_misc takes no entry" in preflight.building_refused()
