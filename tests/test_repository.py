"""What holds for the repository as a whole: its layout, who imports whom, what the lock files promise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
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
LONGEST_MODULE = 350

ROOMS = {  # lock file: extras, Python
    "dev": (("device", "eval", "convert", "dev"), "3.11"),
    "convert": (("convert",), "3.11"),
    "train": (("convert", "train"), "3.11"),
    "device-py311": (("device", "eval"), "3.11"),
    "device-py313": (("device", "eval"), "3.13"),
}
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


def locked(room: str) -> dict[str, str]:
    """Package -> version of one lock file."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (LOCK / f"{room}.txt").read_text(), re.M)
    return {canonicalize_name(name): version for name, version in pins}


def test_top_level_holds_what_it_should_and_nothing_else() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible >= REQUIRED, f"missing: {sorted(REQUIRED - visible)}"
    assert visible <= REQUIRED | WELCOME, f"belongs in a room: {sorted(visible - REQUIRED - WELCOME)}"


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
        if path.parent.name != "training"  # recipes, run by hand with everything at hand
        for line, name in imports(path)
        if any(f"{name}.".startswith(f"{other}.") for other in never)
    ]
    assert not crossing, f"{package} must not import {' or '.join(never)}:\n" + "\n".join(crossing)


def test_the_device_imports_only_what_its_locks_install() -> None:
    installed = {canonicalize_name(name) for room in ("device-py311", "device-py313") for name in locked(room)}
    installed |= {"coral-dictation"}
    owners = packages_distributions()
    foreign = [
        f"{path.relative_to(ROOT)}:{line}: {top} comes with {', '.join(sorted(set(owners[top])))}"
        for path in modules("device")
        for line, name in imports(path)
        if (top := name.partition(".")[0]) not in sys.stdlib_module_names
        and top in owners
        and installed.isdisjoint(canonicalize_name(owner) for owner in owners[top])
    ]
    assert not foreign, "not in the device extra:\n" + "\n".join(foreign)


def test_provisioning_needs_nothing_but_python() -> None:
    foreign = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("provisioning")
        for line, name in imports(path)
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "provisioning", "models", "lifecycle"}
    ]
    assert not foreign, "a build host has no environment of ours:\n" + "\n".join(foreign)


def test_every_package_on_disk_is_installed() -> None:
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for half in ("device", "convert", "models")
        for path in modules(half)
        if path.name == "__init__.py"
    }
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed >= on_disk - {"models.training"}, f"not in pyproject.toml: {sorted(on_disk - listed)}"
    assert listed <= on_disk, f"only in pyproject.toml: {sorted(listed - on_disk)}"


def test_modules_own_one_idea_each() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for half in ("device", "convert", "models", "provisioning")
        for path in modules(half)
        if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE
    ]
    assert not long, f"longer than {LONGEST_MODULE} lines; is there a second idea in it?\n" + "\n".join(long)


@pytest.mark.parametrize("room", ROOMS)
def test_lock_satisfies_pyproject(room: str) -> None:
    extras, python = ROOMS[room]
    wanted = list(PROJECT["project"]["dependencies"])
    for extra in extras:
        wanted += PROJECT["project"]["optional-dependencies"][extra]
    pins, stale = locked(room), []
    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            stale.append(f"{requirement}: locked {version}")
    assert not stale, f"run `make lock`; {room}.txt is behind pyproject.toml:\n" + "\n".join(stale)


@pytest.mark.parametrize("room", ROOMS)
def test_lock_gives_hashes_and_no_place(room: str) -> None:
    text = (LOCK / f"{room}.txt").read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.M), flags=re.M)
    without = [block.split()[0] for block in blocks if block.strip() and "--hash=sha256:" not in block]
    assert not without, f"no hash: {without}"
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_lock_files_are_the_known_ones() -> None:
    assert {path.stem for path in LOCK.glob("*.txt")} == {*ROOMS, "overrides"}


@pytest.mark.parametrize("room", ["device-py311", "device-py313"])
def test_the_device_never_installs_the_build_machine(room: str) -> None:
    assert not BUILD_MACHINE_ONLY & locked(room).keys()


def test_the_tests_do_without_torch() -> None:
    assert "torch" not in locked("dev")


@pytest.mark.parametrize("room", ["convert", "device-py311"])
def test_rooms_install_what_was_tested(room: str) -> None:
    tested = locked("dev")
    apart = {name: (version, tested.get(name)) for name, version in locked(room).items() if tested.get(name) != version}
    assert not apart, f"run `make lock`; (version in {room}.txt, in dev.txt): {apart}"
