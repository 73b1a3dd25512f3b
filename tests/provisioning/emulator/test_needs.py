"""What the machine lacks is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.emulator import needs


def test_missing_programs_are_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fdtput").touch(mode=0o755)
    monkeypatch.setattr(needs, "SEARCH", str(tmp_path))
    assert needs.missing_programs(["fdtput", "qemu-img"]) == ["qemu-img"]


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs.os, "geteuid", lambda: 1000)
    assert "root" in needs.building_refused()


def test_a_kernel_without_foreign_programs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(needs.os, "geteuid", lambda: 0)
    (tmp_path / "register").touch()
    monkeypatch.setattr(needs, "BINFMT", tmp_path)
    monkeypatch.setattr(needs.os, "access", lambda path, mode: False)
    assert "binfmt_misc takes no entry" in needs.building_refused()
