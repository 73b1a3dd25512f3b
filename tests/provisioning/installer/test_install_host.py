"""Putting the layer onto a system and taking it away, on trees that look like one; real ones: test_install_real.py."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UserError
from provisioning.common import layer, tree
from provisioning.installer import boot, changes, install, manifest, system

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n'
CONFIG = "dtparam=audio=on\n[cm4]\notg_mode=1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with what the layer looks for, and a config.txt."""
    root = tmp_path / "root"
    for folder in ("usr/lib/systemd/system", "etc", "var/lib", "usr/bin", "boot/firmware"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text(BOOKWORM)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\naudio:x:29:\n")
    for name in ("shadow", "gshadow"):  # systemd-sysusers makes them with no rights at all, for root only
        (root / "etc" / name).touch(0o600)
    (root / "boot/firmware/config.txt").write_text(CONFIG)
    (root / "usr/bin/python3").symlink_to(sys.executable)
    return root


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A stand-in for a built release: the layer copies it as it is."""
    folder = tmp_path / "release"
    (folder / "site/device").mkdir(parents=True)
    (folder / "site/device/cli.py").write_text("print('hello')\n")
    (folder / "release.json").write_text("{}\n")
    return folder


def put_on(root: Path, release: Path) -> manifest.Manifest:
    planned = changes.plan(root, manifest.read(root))
    changes.apply(root, release, planned)
    return planned


def there(root: Path) -> manifest.Manifest:
    found = manifest.read(root)
    assert found is not None
    return found


def picture(root: Path) -> dict[str, str]:
    """Every file and link below `root` but the databases of users, which keep their user without a purge."""
    files = tree.file_hashes(root)
    links = {str(p.relative_to(root)): f"-> {p.readlink()}" for p in tree.walk(root) if p.is_symlink()}
    folders = {str(p.relative_to(root)): "folder" for p in tree.walk(root) if p.is_dir() and not p.is_symlink()}
    return {k: v for k, v in {**folders, **files, **links}.items() if not k.startswith(("etc/passwd", "etc/group",
            "etc/shadow", "etc/gshadow", "etc/.pwd", "etc/systemd"))}  # fmt: skip


def test_what_is_put_there_is_taken_away_exactly(root: Path, release: Path) -> None:
    before = picture(root)
    put_on(root, release)
    assert (root / layer.FACTORY / "site/device/cli.py").is_file()
    assert there(root).complete
    wants = root / "etc/systemd/system/multi-user.target.wants/dictate.service"
    assert wants.is_symlink()
    changes.remove(root, there(root))
    assert picture(root) == before
    assert not wants.is_symlink()


def test_twice_is_once(root: Path, release: Path) -> None:
    put_on(root, release)
    once, first = picture(root), there(root)
    put_on(root, release)
    assert picture(root) == once and there(root) == first


def test_files_of_the_system_come_back(root: Path, release: Path) -> None:
    theirs = root / "usr/lib/udev/rules.d/60-dictate-gpio.rules"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("# of another package\n")
    before = picture(root)
    put_on(root, release)
    put_on(root, release)
    assert theirs.read_text() != "# of another package\n"
    changes.remove(root, there(root))
    assert picture(root) == before


def test_what_was_changed_since_stays(root: Path, release: Path) -> None:
    put_on(root, release)
    unit = root / "usr/lib/systemd/system/dictate.service"
    unit.write_text("[Unit]\nDescription=mine\n")
    said: list[str] = []
    changes.remove(root, there(root), say=said.append)
    assert unit.read_text() == "[Unit]\nDescription=mine\n"
    assert any("dictate.service was changed" in line for line in said)


def test_what_was_changed_since_is_kept_beside_when_installing_again(root: Path, release: Path) -> None:
    put_on(root, release)
    unit = root / "usr/lib/systemd/system/dictate.service"
    ours = unit.read_text()
    unit.write_text("mine\n")
    put_on(root, release)
    assert unit.read_text() == ours
    assert Path(f"{unit}.yours").read_text() == "mine\n"


def test_journal_and_configuration_stay_without_a_purge(root: Path, release: Path) -> None:
    put_on(root, release)
    (root / "var/lib/dictate/journal").mkdir(parents=True)
    (root / "etc/dictate").mkdir()
    (root / "etc/dictate/config.toml").write_text("[panel]\n")
    changes.remove(root, there(root))
    assert (root / "var/lib/dictate/journal").is_dir() and (root / "etc/dictate/config.toml").exists()
    put_on(root, release)
    changes.remove(root, there(root), purge=True)
    assert not (root / "var/lib/dictate").exists() and not (root / "etc/dictate").exists()


def release_gone(root: Path) -> Callable[[], None]:
    """The release vanishes, so that the layer stops after it has laid its own files."""
    release = root.parent / "release"
    away = release.rename(root.parent / "away")
    return lambda: (away.rename(release), None)[1]


def users_locked(root: Path) -> Callable[[], None]:
    """The lock of the database of users cannot be taken, so that it stops after the release."""
    lock = root / "etc/.pwd.lock"
    lock.mkdir()
    return lock.rmdir


@pytest.mark.parametrize("spoil", [release_gone, users_locked])
def test_a_failure_in_the_middle_is_repaired_or_taken_back(
    root: Path, release: Path, spoil: Callable[[Path], Callable[[], None]]
) -> None:
    before = picture(root)
    mend = spoil(root)
    with pytest.raises((UserError, OSError)):
        put_on(root, release)
    assert not there(root).complete
    mend()
    changes.remove(root, there(root))
    assert picture(root) == before

    mend = spoil(root)
    with pytest.raises((UserError, OSError)):
        put_on(root, release)
    mend()
    put_on(root, release)
    assert there(root).complete
    changes.remove(root, there(root))
    assert picture(root) == before


@pytest.mark.parametrize("text", [b"", b"a=1", b"a=1\r\nb=2\r\n", b"\xff\xfe no text\n", b"[pi5]\n"])
def test_config_txt_comes_back_to_the_byte(root: Path, release: Path, text: bytes) -> None:
    config = root / "boot/firmware/config.txt"
    config.write_bytes(text)
    put_on(root, release)
    put_on(root, release)
    assert config.read_bytes().startswith(text) and config.read_bytes().count(b"dtoverlay=dwc2") == 1
    changes.remove(root, there(root))
    assert config.read_bytes() == text


def test_config_txt_keeps_what_its_owner_added_since(root: Path, release: Path) -> None:
    config = root / "boot/firmware/config.txt"
    put_on(root, release)
    config.write_text(config.read_text() + "arm_boost=1\n")
    changes.remove(root, there(root))
    assert config.read_text() == CONFIG + "arm_boost=1\n"


lines = st.lists(st.text("abc=[]# \t\r", max_size=12), max_size=6).map("\n".join)


@given(lines, lines)
def test_the_block_goes_where_it_came_from(text: str, after: str) -> None:
    ended = text if text.endswith("\n") or not text else text + "\n"
    assert boot.without_block(boot.with_block(ended)) == ended
    assert boot.with_block(boot.with_block(text)) == boot.with_block(text)
    assert boot.without_block(boot.with_block(ended) + after) == ended + after
    assert boot.without_block(text) == text


def test_debians_own_config_txt_is_left_to_debian(root: Path) -> None:
    assert boot.find(root) == Path("boot/firmware/config.txt")
    (root / "etc/default").mkdir()
    (root / "etc/default/raspi-firmware").touch()
    assert boot.find(root) is None


def python(root: Path, answer: str) -> None:
    program = root / "usr/bin/python3"
    program.unlink()
    program.write_text(f"#!/bin/sh\necho {answer}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("release", "answer", "expected"),
    [
        (BOOKWORM, "3 11 aarch64 8", ("cp311", "aarch64")),
        (BOOKWORM.replace("bookworm", "trixie"), "3 13 aarch64 8", ("cp313", "aarch64")),
        (BOOKWORM.replace("=debian", "=raspbian"), "3 11 aarch64 8", ("cp311", "aarch64")),
        (BOOKWORM, "3 11 armv7l 4", "64-bit"),
        (BOOKWORM, "3 11 aarch64 4", "64-bit"),
        (BOOKWORM, "3 12 aarch64 8", "put Debian's back"),
        (BOOKWORM, "3 11 riscv64 8", "not supported"),
        (BOOKWORM.replace("bookworm", "bullseye"), "3 9 aarch64 8", "bookworm or trixie"),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nPRETTY_NAME=Ubuntu", "3 12 aarch64 8", "Ubuntu is not"),
        ("ID=fedora\nPRETTY_NAME=Fedora", "3 11 aarch64 8", "neither Debian nor"),
        ("", "3 11 aarch64 8", "an unknown system"),
    ],
)
def test_systems_are_recognised_or_refused(
    root: Path, release: str, answer: str, expected: str | tuple[str, str]
) -> None:
    (root / "etc/os-release").write_text(release)
    python(root, answer)
    if isinstance(expected, tuple):
        target = system.recognise(root).target
        assert (target.python, target.machine) == expected
    else:
        with pytest.raises(UserError, match=expected) as caught:
            system.recognise(root)
        assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_os_release_crashes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("os")
    (folder / "etc").mkdir()
    (folder / "etc/os-release").write_bytes(content)
    assert all(isinstance(name, str) for name in system.os_release(folder))


def test_a_damaged_manifest_is_told(root: Path) -> None:
    assert manifest.read(root) is None
    (root / manifest.PLACE).mkdir(parents=True)
    for text in ("", "[]", '{"files": 1, "nonsense": 2}'):
        (root / manifest.FILE).write_text(text)
        with pytest.raises(UserError, match="cannot be read"):
            manifest.read(root)


def test_the_summary_names_all_that_changes(root: Path) -> None:
    python(root, f"3 11 {platform.machine()} 8")  # bookworm's, whichever runs the tests
    here = system.recognise(root)
    text = install.summary(here, changes.plan(root, None), ["python3-pyaudio"], boot.KEYBOARD)
    for word in ("bookworm", "python3-pyaudio", "/usr/lib/dictate/factory", "/boot/firmware/config.txt", "dwc2",
                 "dictate.service"):  # fmt: skip
        assert word in text


def test_what_a_killed_installation_left_is_removed(root: Path) -> None:
    folder = root / manifest.SCRATCH
    (folder / "release/site").mkdir(parents=True)
    with install.scratch(folder) as empty:
        assert not any(empty.iterdir())
    assert not folder.exists()


def test_only_root_may(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert install.main(["--yes"]) == 1
    assert "sudo" in capsys.readouterr().err


def test_what_is_installed_is_readable_whatever_the_users_umask(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(os.umask(0o022))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install, "_install", look)
    before = os.umask(0o077)
    try:
        install.main(["--yes"])
    finally:
        os.umask(before)
    assert seen == [0o022]
