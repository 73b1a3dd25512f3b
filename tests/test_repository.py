"""What holds for the repository as a whole: its layout, who imports whom, what the lock files promise."""

from __future__ import annotations

import ast
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "provisioning" / "lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIRED = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "Makefile",
            "device", "convert", "models", "tests", "provisioning"}  # fmt: skip
WELCOME = {"docs"}

ENVIRONMENTS: dict[str, tuple[str, ...]] = {  # universal lock file: extras
    "dev": ("device", "eval", "wyoming", "browser", "convert", "dev"),
    "run": ("device", "eval"),
    "convert": ("device", "eval", "convert"),
    "train": ("convert", "train"),
}
DEVICES = {"device-py311": "3.11", "device-py313": "3.13"}  # lock file without markers: its Python
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
BUILD_MACHINE_ONLY = {"tensorflow", "tensorflow-cpu", "tf-keras", "keras", "onnx", "onnx2tf", "torch", "matplotlib"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def modules(package: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] == package]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import in a module, wherever in it, type-checking blocks included."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def locked(lock_name: str, python: str = "3.11", machine: str = "x86_64") -> dict[str, str]:
    """Package -> version that one lock file installs on a Python and a Linux machine."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.2",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine,
        "sys_platform": "linux",
    }
    lines = re.findall(r"^([A-Za-z0-9._-]+==.*?) *\\?$", (LOCK / f"{lock_name}.txt").read_text(), re.M)
    wanted = [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate(environment)]
    pins = {canonicalize_name(r.name): next(iter(r.specifier)).version for r in wanted}
    assert len(pins) == len(wanted), f"{lock_name}: two versions of a package on Python {python}, {machine}"
    return pins


def stale(pins: dict[str, str], extras: tuple[str, ...], python: str, machine: str) -> list[str]:
    """What pyproject.toml asks for and `pins` does not have."""
    wanted = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    found = []
    for requirement in map(Requirement, wanted):
        environment = {"python_version": python, "platform_machine": machine}
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement}: locked {version}")
    return found


def test_top_level_holds_what_it_should_and_nothing_else() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible >= REQUIRED, f"missing: {sorted(REQUIRED - visible)}"
    assert visible <= REQUIRED | WELCOME, f"belongs in a lock_name: {sorted(visible - REQUIRED - WELCOME)}"


def test_nothing_that_git_ignores_is_tracked() -> None:
    """A worktree's link to an environment, once tracked, replaces the environment of every checkout."""
    listed = subprocess.run(["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    assert listed.stdout == b""


def test_no_tracked_file_names_a_package_registry() -> None:
    registry = re.compile(
        rb"(?:pypi|pythonhosted|npmjs|npmmirror)\.(?:org|com|io)"
        rb"|(?:deb|ftp(?:\.\w\w)?|security|snapshot|archive|httpredir)\.debian\.org"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0].decode()}"
        for path in tracked()
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1)
        if (match := registry.search(line))
    ]
    assert not found, "packages are named, never the host they come from:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("device", ("convert", "provisioning", "models.training")),
        ("convert", ("device", "provisioning", "models.training")),
        ("models", ("convert", "device", "provisioning", "models.training")),
        ("provisioning", ("convert", "device", "models.training")),
    ],
)
def test_halves_meet_only_in_the_bundle(package: str, never: tuple[str, ...]) -> None:
    crossing = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}"
        for path in modules(package)
        if "training" not in path.parts  # recipes, run by hand with everything at hand
        for line, name in imports(path)
        if any(f"{name}.".startswith(f"{other}.") for other in never)
    ]
    assert not crossing, f"{package} must not import {' or '.join(never)}:\n" + "\n".join(crossing)


def test_the_device_imports_only_what_its_locks_install() -> None:
    ours = {canonicalize_name(name) for lock_name in DEVICES for name in locked(lock_name)}
    ours |= {"coral-dictation"}
    elsewhere = {ROOT / "device" / "browser": {"websockets"}}  # never run on the device: the extra `browser`
    owners = packages_distributions()
    foreign = [
        f"{path.relative_to(ROOT)}:{line}: {top} comes with {', '.join(sorted(set(owners[top])))}"
        for path in modules("device")
        for line, name in imports(path)
        if (top := name.partition(".")[0]) not in sys.stdlib_module_names
        and top in owners
        and ours.isdisjoint(canonicalize_name(owner) for owner in owners[top])
        and top not in elsewhere.get(path.parent, ())
    ]
    assert not foreign, "not in the device extra:\n" + "\n".join(foreign)


def test_provisioning_needs_nothing_but_python() -> None:
    foreign = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("provisioning")
        for line, name in imports(path)
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "provisioning", "models", "updater"}
    ]
    assert not foreign, "a build host has no environment of ours:\n" + "\n".join(foreign)


def test_every_package_on_disk_is_installed() -> None:
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for half in ("device", "convert", "models")
        for path in modules(half)
        if path.name == "__init__.py"
    }
    on_disk = {name for name in on_disk if not f"{name}.".startswith("models.training.")}  # recipes are not installed
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed >= on_disk, f"not in pyproject.toml: {sorted(on_disk - listed)}"
    assert listed <= on_disk, f"only in pyproject.toml: {sorted(listed - on_disk)}"


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock_name", ENVIRONMENTS)
def test_lock_satisfies_pyproject(lock_name: str, python: str, machine: str) -> None:
    behind = stale(locked(lock_name, python, machine), ENVIRONMENTS[lock_name], python, machine)
    assert not behind, f"run `make lock`; {lock_name}.txt is behind pyproject.toml:\n" + "\n".join(behind)


@pytest.mark.parametrize("lock_name", DEVICES)
def test_device_lock_satisfies_pyproject(lock_name: str) -> None:
    pins, python = locked(lock_name), DEVICES[lock_name]
    behind = stale(pins, ENVIRONMENTS["run"], python, "aarch64")
    assert not behind, f"run `make lock`; {lock_name}.txt is behind pyproject.toml:\n" + "\n".join(behind)


@pytest.mark.parametrize("lock_name", [*ENVIRONMENTS, *DEVICES])
def test_lock_gives_hashes_and_no_place(lock_name: str) -> None:
    text = (LOCK / f"{lock_name}.txt").read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.M), flags=re.M)
    without = [block.split()[0] for block in blocks if block.strip() and "--hash=sha256:" not in block]
    assert not without, f"no hash: {without}"
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_lock_files_are_the_known_ones() -> None:
    assert {path.stem for path in LOCK.glob("*.txt")} == {*ENVIRONMENTS, *DEVICES}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock_name", ["run", *DEVICES])
def test_recognising_never_installs_the_build_machine(lock_name: str, python: str) -> None:
    assert not BUILD_MACHINE_ONLY & locked(lock_name, python).keys()


def test_the_tests_do_without_torch() -> None:
    assert "torch" not in locked("dev")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_rooms_install_what_was_tested(python: str, machine: str) -> None:
    tested = locked("dev", python, machine)
    lock_names = {"run", "convert"} | {
        lock_name for lock_name, its in DEVICES.items() if its == python and machine == "aarch64"
    }
    apart = [
        f"{lock_name}.txt: {name} {pin}, dev.txt: {tested.get(name)}"
        for lock_name in sorted(lock_names)
        for name, pin in locked(lock_name, python, machine).items()
        if tested.get(name) != pin
    ]
    assert not apart, "run `make lock`:\n" + "\n".join(apart)


def test_what_is_installed_is_what_is_locked() -> None:
    """The tests run with the lock's versions, on whichever Python and machine they run."""
    python, machine = f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine()
    apart = {name: pin for name, pin in locked("dev", python, machine).items() if installed(name) != pin}
    assert not apart, f"run `make lint`, which brings .venv up to date; locked: {apart}"


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
