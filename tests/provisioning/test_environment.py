"""What `make` sets up: on which machines, with which packages, and each step once."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models import files
from provisioning import environment
from provisioning.environment import Environment, SetupError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_these_machines_are_supported(machine: str) -> None:
    assert environment.unsupported("Linux", machine, 64, "glibc") is None


@pytest.mark.parametrize(
    ("system", "machine", "bits", "libc", "said"),
    [
        ("Darwin", "arm64", 64, "", "macOS"),
        ("Windows", "AMD64", 64, "", "Windows"),
        ("Linux", "aarch64", 32, "glibc", "32-bit"),  # a 64-bit kernel below a 32-bit Raspberry Pi OS
        ("Linux", "riscv64", 64, "glibc", "riscv64"),
        ("Linux", "x86_64", 64, "", "glibc"),
    ],
)
def test_other_machines_are_told_what_is_supported(system: str, machine: str, bits: int, libc: str, said: str) -> None:
    told = environment.unsupported(system, machine, bits, libc)
    assert told and said in told and "Debian 12" in told and "\n" not in told


def test_a_python_that_is_whole_needs_no_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(environment.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(environment, "find_spec", lambda name: object())
    names = environment.debian_packages(["run", "test"])
    assert {"gcc", "portaudio19-dev", "git"} <= set(names)
    assert not [name for name in names if name.startswith("python3")]


def test_npm_of_another_vendors_nodejs_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's cannot be installed beside it: they conflict."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "npm" in environment.debian_packages(["test"])
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    (tmp_path / "npm").chmod(0o755)
    assert "npm" not in environment.debian_packages(["test"])


def test_debians_python_gets_the_packages_of_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    version = f"python3.{sys.version_info.minor}"
    assert {f"{version}-venv", f"{version}-dev"} <= set(environment.debian_packages(["run"]))


def test_another_python_that_is_not_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", "/opt/python")
    with pytest.raises(SetupError, match=r"lacks ensurepip.*PYTHON="):
        environment.debian_packages(["run"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment; with pip it takes seconds, so one serves all tests."""
    made = Environment(tmp_path_factory.mktemp("environment") / "venv")
    made.create()
    return made.folder


def test_an_environment_is_made_once(folder: Path) -> None:
    (folder / "kept").touch()
    Environment(folder).create()
    assert (folder / "kept").exists()
    subprocess.run([folder / "bin" / "python", "-c", "import pip"], check=True)


@pytest.mark.parametrize("why", ["another Python", "broken"])
def test_an_environment_of_another_python_or_a_broken_one_is_made_anew(folder: Path, why: str) -> None:
    made = Environment(folder)
    (folder / "left over").touch()
    if why == "broken":
        made.python.unlink()
    else:
        made.record({"python": "/usr/bin/python3.9 3.9.2"})
    Environment(folder).create()
    assert not (folder / "left over").exists()
    subprocess.run([made.python, "-c", "import pip"], check=True)


class TestLocks:
    """Lock files that can be installed offline: they name nothing, or what is not to be had."""

    @pytest.fixture
    def made(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
        (tmp_path / "lock").mkdir()
        for lock_name in environment.ENVIRONMENTS:
            (tmp_path / "lock" / f"{lock_name}.txt").write_text(f"# {lock_name}, {tmp_path}\n")
        monkeypatch.setattr(environment, "LOCKS", tmp_path / "lock")
        monkeypatch.setattr(environment, "ROOT", tmp_path)
        monkeypatch.setattr(environment.shutil, "which", lambda name: None)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        return Environment(folder)

    def test_a_lock_is_installed_once(self, made: Environment, capsys: pytest.CaptureFixture[str]) -> None:
        made.install_locked("convert")
        assert "convert.txt" in capsys.readouterr().out
        for lock_name in ("convert", "run"):  # the smaller one is part of it
            Environment(made.folder).install_locked(lock_name)
        assert capsys.readouterr().out == ""

    def test_a_larger_or_changed_lock_is_installed(self, made: Environment, capsys: pytest.CaptureFixture[str]) -> None:
        made.install_locked("run")
        made.install_locked("dev")
        assert capsys.readouterr().out.count("setup:") == 2
        (environment.LOCKS / "dev.txt").write_text("# changed\n")
        made.install_locked("dev")
        assert capsys.readouterr().out.count("setup:") == 1

    def test_what_failed_is_tried_again(self, made: Environment) -> None:
        (environment.LOCKS / "run.txt").write_text(f"nothing==1 \\\n    --hash=sha256:{'0' * 64}\n")
        for _ in range(2):
            with pytest.raises(SetupError, match=r"run\.txt could not be installed.*make again"):
                Environment(made.folder).install_locked("run")


def test_two_at_once_set_up_one_after_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(Environment, "install_locked", lambda self, locked: steps.append(locked))
    monkeypatch.setattr(Environment, "install_project", lambda self: steps.append("project"))
    second = threading.Thread(target=environment.set_up, args=("run", folder))
    with files.alone(folder):
        second.start()
        while "another process is setting up venv" not in capfd.readouterr().err:
            second.join(0.01)
            assert second.is_alive() and steps == []
    second.join()
    assert steps == ["run", "project"]


def test_make_names_the_pythons_that_will_do() -> None:
    command = ["make", "--no-print-directory", "setup-run", "PYTHON=/bin/false"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode
    assert "Python 3.11, 3.12 or 3.13 is needed (/bin/false is not)" in done.stderr
