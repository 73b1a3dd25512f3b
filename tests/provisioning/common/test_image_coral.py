"""The Coral's driver from a loopback server: whole, altered, missing, cut off, unreachable; and its lock."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Served, serving

from models.errors import UserError
from provisioning.common import drivers
from provisioning.common.drivers import CoralUnavailable, Pin
from provisioning.common.target import PYTHONS, Target

ROOT = Path(__file__).parents[3]
CONTENT = bytes(range(256)) * 512
NAME = "libedgetpu1-std_1.bookworm_arm64.deb"


@contextmanager
def pinned(served: Served) -> Iterator[Pin]:
    """A pin whose file the server has."""
    with serving(served, NAME) as url:
        yield Pin("libedgetpu1-std", "1", url, hashlib.sha256(CONTENT).hexdigest(), "cp311", "ai-edge-litert==2.2.0")


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*")) if cache.exists() else []


def test_a_verified_file_is_fetched_once(tmp_path: Path) -> None:
    served = Served(CONTENT)
    with pinned(served) as pin:
        first = drivers.fetch(pin, tmp_path / "cache")
        assert first.read_bytes() == CONTENT
        assert drivers.fetch(pin, tmp_path / "cache") == first
    assert served.requests == 1 and left(tmp_path / "cache") == [NAME]


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (Served(content=CONTENT[::-1]), "not the pinned file"),
        (Served(CONTENT, status=404), "answers 404"),
        (Served(CONTENT, sends=1000), "ended after 1,000 of 131,072 bytes|cannot be downloaded"),
        (Served(CONTENT, sends=0), "ended after 0 of|cannot be downloaded"),
    ],
)
def test_nothing_is_kept_of_what_is_not_the_file(tmp_path: Path, served: Served, message: str) -> None:
    with pinned(served) as pin, pytest.raises(CoralUnavailable, match=message) as error:
        drivers.fetch(pin, tmp_path / "cache")
    assert "--without-coral" in str(error.value) and "\n" not in str(error.value)
    assert left(tmp_path / "cache") == []


def test_no_network(tmp_path: Path) -> None:
    with pinned(Served(CONTENT)) as pin:
        pass
    with pytest.raises(CoralUnavailable, match=r"cannot be downloaded .*Connection refused"):
        drivers.fetch(pin, tmp_path / "cache")
    assert left(tmp_path / "cache") == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"cut off")
    with pinned(Served(CONTENT)) as pin:
        assert drivers.fetch(pin, tmp_path).read_bytes() == CONTENT


def test_a_file_given_by_hand_is_verified_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(CONTENT)
    (tmp_path / "bad").write_bytes(CONTENT[1:])
    with pinned(Served(CONTENT)) as pin:
        pass
    assert drivers.fetch(pin, tmp_path / "cache", tmp_path / "good").read_bytes() == CONTENT
    (tmp_path / "cache" / NAME).unlink()
    for name, message in (("bad", "not the pinned file"), ("none", "No such file")):
        with pytest.raises(CoralUnavailable, match=message):
            drivers.fetch(pin, tmp_path / "cache", tmp_path / name)


def test_what_has_no_hash_is_never_fetched(tmp_path: Path) -> None:
    served = Served(CONTENT)
    with pinned(served) as pin, pytest.raises(CoralUnavailable, match="coral-lock record"):
        drivers.fetch(replace(pin, sha256=""), tmp_path)
    assert served.requests == 0


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_has_a_driver_paired_with_its_locked_interpreter(python: str) -> None:
    assert drivers.pin_for(Target(python)).python == python


def test_a_pairing_that_the_wheels_do_not_follow_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "coral.lock"
    lock.write_text(drivers.LOCK.read_text().replace("ai-edge-litert==2.2.0", "ai-edge-litert==2.3.0"))
    with pytest.raises(UserError, match=r"pairs libedgetpu1-std with ai-edge-litert==2\.3\.0"):
        drivers.pin_for(Target("cp311"), lock)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("sha256 = ", 'sha256 = "xyz" # ', "bookworm.sha256 must be empty or 64"),
        ("url = ", 'url = "ftp://x/y.deb" # ', "bookworm.url must be the web address"),
        ("url = ", "# ", "bookworm.url is missing"),
        ("version = ", "version = 16 # ", "bookworm.version must be a text, not 16"),
        ("python = ", 'new = "x"\npython = ', "bookworm.new is unknown"),
        ("version = ", "= ", "not TOML"),
        ("[trixie]", "[bookworm]", "not TOML"),
        ("[bookworm]", "x = 1\n[bookworm]", "x must be a table, not 1"),
    ],
)
def test_a_damaged_lock_is_refused_in_one_line_that_names_file_and_key(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    lock = tmp_path / "coral.lock"
    lock.write_text(drivers.LOCK.read_text().replace(old, new))
    with pytest.raises(UserError, match="restore it") as error:
        drivers.read(lock)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{lock}: ") and says in str(error.value)


@given(st.text())
def test_any_other_text_is_refused_or_has_no_pins(text: str) -> None:
    with TemporaryDirectory() as folder:
        lock = Path(folder, "coral.lock")
        lock.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            assert drivers.read(lock) == {}
        except UserError as error:
            assert "restore it" in str(error)


def test_recording_writes_the_hash_of_a_package_of_the_right_version(tmp_path: Path) -> None:
    lock = tmp_path / "coral.lock"
    lock.write_text(drivers.LOCK.read_text())
    pin = drivers.read()["trixie"]
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN").chmod(0o755)  # as dpkg-deb wants it, whatever the umask
    for version in ("1", pin.version):
        control = {"Package": pin.package, "Version": version, "Architecture": "arm64", "Maintainer": "x <x@y.z>"}
        lines = [f"{name}: {value}\n" for name, value in {**control, "Description": "x"}.items()]
        (package / "DEBIAN/control").write_text("".join(lines))
        subprocess.run(["dpkg-deb", "--build", package, tmp_path / pin.filename], check=True, capture_output=True)
        if version == "1":
            with pytest.raises(UserError, match=f"is {pin.package} 1, not"):
                drivers.record(tmp_path / pin.filename, lock)
            assert lock.read_text() == drivers.LOCK.read_text()
    assert drivers.record(tmp_path / pin.filename, lock) == "trixie"
    assert drivers.read(lock)["trixie"].sha256 == hashlib.sha256((tmp_path / pin.filename).read_bytes()).hexdigest()
    assert drivers.read(lock)["bookworm"] == drivers.read()["bookworm"]


def test_the_command_shows_the_pins_and_names_a_file_that_it_does_not_know(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "provisioning" / "coral-lock"]
    shown = subprocess.run([*command, "show"], capture_output=True, text=True, check=True)
    assert "trixie: libedgetpu1-std" in shown.stdout
    refused = subprocess.run([*command, "record", tmp_path / "x.deb"], capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stderr.startswith("coral-lock: coral.lock has no package called x.deb")
