"""Each build has an emulator of its own for arm64 programs; the machine's own is used where it serves chroots."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from needs import Need, skip, unless

from models.errors import UserError
from provisioning.image import emulation

SYSTEM = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\nmagic 7f454c46\n"


@pytest.fixture
def pc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that is no arm64, with a folder in place of its binfmt_misc."""
    monkeypatch.setattr(emulation.platform, "machine", lambda: "x86_64")
    (tmp_path / "register").touch()
    return tmp_path


def registered(binfmt: Path) -> str:
    """The name that was registered last."""
    return (binfmt / "register").read_text().split(":")[1]


def test_builds_at_the_same_time_have_entries_of_their_own(pc: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(emulation.arm64(pc))
        one = registered(pc)
        second.enter_context(emulation.arm64(pc))
        two = registered(pc)
        assert one != two
        first.close()
        assert (pc / one).read_text() == "-1" and not (pc / two).exists()
    assert (pc / two).read_text() == "-1"


def test_a_build_that_fails_takes_its_entry_back(pc: Path) -> None:
    with pytest.raises(UserError), emulation.arm64(pc):
        raise UserError("no space left")
    assert (pc / registered(pc)).read_text() == "-1"


def test_the_machines_own_emulator_is_used_and_left(pc: Path) -> None:
    (pc / "qemu-aarch64").write_text(SYSTEM.format(flags="OCF"))
    with emulation.arm64(pc):
        pass
    assert (pc / "register").read_text() == ""
    assert (pc / "qemu-aarch64").read_text() == SYSTEM.format(flags="OCF")


@pytest.mark.parametrize(
    "entry",
    [SYSTEM.format(flags="OC"), SYSTEM.format(flags=""), SYSTEM.format(flags="OCF").replace("enabled", "disabled")],
    ids=["not open", "no flags", "switched off"],
)
def test_one_that_does_not_serve_chroots_is_not(pc: Path, entry: str) -> None:
    (pc / "qemu-aarch64").write_text(entry)
    with emulation.arm64(pc):
        assert registered(pc).startswith("dictate-aarch64-")


def test_an_entry_of_another_build_is_not_relied_on(pc: Path) -> None:
    (pc / "dictate-aarch64-1-00").write_text(SYSTEM.format(flags="OF"))
    with emulation.arm64(pc):
        assert registered(pc) != "dictate-aarch64-1-00"


@unless(os.geteuid() == 0, Need.KERNEL, "the right to register an emulator (binfmt_misc)")
def test_arm64_programs_run_until_the_last_build_has_ended() -> None:
    with ExitStack() as stack:
        try:
            stack.enter_context(emulation.arm64())
        except UserError as error:
            skip(Need.KERNEL, str(error))  # a container's kernel is its host's to change
        during = set(emulation.BINFMT.iterdir())
        with emulation.arm64():
            pass
        assert set(emulation.BINFMT.iterdir()) == during
        assert subprocess.run(["arch-test", "arm64"], capture_output=True).returncode == 0
    assert not [path for path in emulation.BINFMT.iterdir() if path.name.startswith(f"dictate-aarch64-{os.getpid()}-")]
