"""`make` installs missing Debian packages when it may, and otherwise names the one command that does."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from provisioning.common import process
from provisioning.emulator import preflight

PROVISIONING = Path(__file__).resolve().parents[2] / "provisioning"
SCRIPT = PROVISIONING / "system-packages.sh"
DPKG = """case "$4" in
    present-*) echo "install ok installed" ;;
    removed-*) echo "deinstall ok config-files" ;;
    *) exit 1 ;;
esac"""


class Machine:
    """A Debian of stand-in commands in one folder: the script sees no others. `log` holds what it ran."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "bin"
        self.bin.mkdir()
        self.log = root / "log"
        for tool in ("sh", "grep", "cat", "mktemp", "rm"):
            (self.bin / tool).symlink_to(Path("/bin") / tool)
        self.has("apt-get", f'echo "apt-get $*" >> {self.log}')

    def has(self, name: str, body: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def install(self, *packages: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin)}
        return subprocess.run([SCRIPT, *packages], env=environment, capture_output=True, text=True, timeout=60)

    def ran(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.has("dpkg-query", DPKG)
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")
    return machine


def test_nothing_is_run_when_nothing_is_missing(machine: Machine) -> None:
    assert machine.install("present-a", "present-b").returncode == 0
    assert machine.ran() == []


def test_root_installs_only_what_is_missing(machine: Machine) -> None:
    machine.has("id", "echo 0")
    done = machine.install("present-a", "absent-b", "removed-c")
    assert done.returncode == 0, done.stderr
    assert machine.ran() == ["apt-get update -q", "apt-get install -q -y --no-install-recommends absent-b removed-c"]


def test_sudo_that_asks_nothing_is_used(machine: Machine) -> None:
    machine.has("sudo", f'echo "sudo $*" >> {machine.log}; [ "$1" != -n ] || shift; "$@"')
    machine.has("true", ":")
    assert machine.install("absent-a").returncode == 0
    assert "sudo apt-get install -q -y --no-install-recommends absent-a" in machine.ran()


def test_without_rights_the_exact_command_is_named(machine: Machine) -> None:
    done = machine.install("absent-a", "absent-b")
    assert done.returncode == 1
    assert machine.ran() == []
    command = "sudo apt-get update && sudo apt-get install --no-install-recommends absent-a absent-b"
    assert command in done.stderr


def test_the_words_of_a_failing_apt_are_shown(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("apt-get", 'echo "E: Unable to locate package $*" >&2; exit 100')
    done = machine.install("absent-a")
    assert done.returncode == 1
    assert "E: Unable to locate package" in done.stderr and "could not install absent-a" in done.stderr


def test_another_system_is_told_what_is_needed(machine: Machine) -> None:
    (machine.bin / "dpkg-query").unlink()
    done = machine.install("portaudio19-dev")
    assert done.returncode == 1
    assert "not Debian" in done.stderr and "portaudio19-dev" in done.stderr


LISTS: dict[str, list[str]] = tomllib.loads((PROVISIONING / "packages.toml").read_text())


def test_the_list_has_each_package_once_by_its_purpose() -> None:
    assert set(LISTS) == {"run", "test", "image"}
    names = [name for names in LISTS.values() for name in names]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)


ON_DEMAND = {
    name: {package for packages in programs.values() for package in packages.split()}
    for name, programs in (("virtual Pi", preflight.PACKAGES), ("image", process.PACKAGES))
}
ESSENTIAL = {"dpkg", "gzip"}
"""Of every Debian; removed by none."""


@pytest.mark.parametrize("what", ON_DEMAND)
def test_what_is_installed_on_demand_is_in_the_list(what: str) -> None:
    assert ON_DEMAND[what] - ESSENTIAL <= {name for names in LISTS.values() for name in names}


def test_the_image_list_holds_nothing_else() -> None:
    assert set(LISTS["image"]) <= set().union(*ON_DEMAND.values())
