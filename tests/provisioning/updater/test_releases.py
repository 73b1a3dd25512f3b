"""Which release runs: whatever is done, and whenever the power fails, one that works."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import releases
from hypothesis import given, settings
from hypothesis import strategies as st
from updater import package
from updater.disk import RealDisk
from updater.errors import LifecycleError
from updater.install import Platform, install
from updater.releases import FACTORY, TRIAL_STARTS, State, Store, parse

OVERLAY = Path(__file__).parents[3] / "provisioning" / "rootfs-overlay" / "all"


class PowerCut(Exception):
    """The power fails here."""


class FailingDisk(RealDisk):
    """A disk whose power fails at a given operation, and which then loses some of what was not synced.

    A file that was written and not synced may be cut short, a rename whose folder was not synced may be undone.
    """

    def __init__(self, operations: int | None, seed: int) -> None:
        self._left, self._chance = operations, random.Random(seed)
        self._written: set[Path] = set()
        self._renamed: list[tuple[Path, Path, bytes | None]] = []
        self._unpacked: list[Path] = []
        self._synced = False

    def write(self, path: Path, data: bytes) -> None:
        self._written.add(path)
        self._operation(lambda: path.write_bytes(data[: self._chance.randrange(len(data) + 1)]))
        super().write(path, data)

    def sync(self, path: Path) -> None:
        self._operation()
        super().sync(path)
        self._written.discard(path)
        self._renamed = [row for row in self._renamed if row[1].parent != path]

    def rename(self, source: Path, target: Path) -> None:
        self._operation()
        before = target.read_bytes() if target.is_file() else None
        super().rename(source, target)
        self._renamed.append((source, target, before))
        if source in self._written:
            self._written ^= {source, target}
        if target.is_dir() and not self._synced:
            self._unpacked.append(target)

    def remove(self, path: Path) -> None:
        self._operation(lambda: self._remove_some(path))
        super().remove(path)

    def sync_all(self) -> None:
        self._operation()
        self._synced = True

    def _operation(self, half: Callable[[], object] = lambda: None) -> None:
        if self._left == 0:
            half()
            self._lose()
            raise PowerCut
        if self._left is not None:
            self._left -= 1

    def _lose(self) -> None:
        for source, target, before in reversed(self._renamed):
            if self._chance.random() < 0.5 and target.exists():
                target.rename(source)
                if before is not None:
                    target.write_bytes(before)
        for path in self._written:
            if path.is_file():
                data = path.read_bytes()
                path.write_bytes(data[: self._chance.randrange(len(data) + 1)])
        for tree in self._unpacked:
            for path in filter(Path.is_file, tree.rglob("*")):
                path.write_bytes(b"")

    def _remove_some(self, path: Path) -> None:
        if path.is_dir():
            for file in [file for file in path.rglob("*") if file.is_file() and self._chance.random() < 0.5]:
                file.unlink()


@pytest.fixture(scope="module")
def updates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[Path, str]]]:
    """A public key, and three updates that its owner signed, with the id of each."""
    folder = tmp_path_factory.mktemp("updates")
    key = releases.key(folder)
    made = []
    for serial, name in enumerate(("one", "two", "three"), 1):
        release = releases.make(folder / name, name)
        package.write(folder / name, key, folder / f"{name}.update", serial)
        made.append((folder / f"{name}.update", release.id))
    return Path(f"{key}.pub"), made


@dataclass(frozen=True)
class Step:
    """Something that happens to a device: an update or a start; the power may fail at one of its operations."""

    update: int | None
    ready: bool
    cut: int | None
    seed: int


STEPS = st.lists(
    st.builds(
        Step,
        update=st.one_of(st.none(), st.none(), st.integers(0, 2)),
        ready=st.booleans(),
        cut=st.one_of(st.none(), st.integers(0, 12)),
        seed=st.integers(0, 1_000),
    ),
    max_size=16,
)


@settings(max_examples=60)
@given(steps=STEPS)
def test_whatever_happens_a_release_that_works_is_chosen(
    steps: list[Step], updates: tuple[Path, list[tuple[Path, str]]]
) -> None:
    public, made = updates
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        releases.device(root, public)
        proven, in_vain, highest = {FACTORY}, 0, 0
        serials = {identity: serial for serial, (_, identity) in enumerate(made, 1)}
        for step in steps:
            store = Store(root, FailingDisk(step.cut, step.seed))
            before, trial = store.chosen(), store.state().starts_left is not None
            allowed = {before} | ({store.state().previous} if trial and step.update is None else set())
            with suppress(PowerCut):
                if step.update is not None:
                    file, new = made[step.update]
                    if new != store.state().current and serials[new] <= highest:
                        with pytest.raises(LifecycleError, match="it is an old one"):
                            install(file, store, Platform(), lambda text: None)
                    else:
                        allowed.add(new)
                        install(file, store, Platform(), lambda text: None)
                        assert store.chosen() == new
                else:
                    in_vain = _start(store, step.ready, proven, in_vain)
            after = Store(root)
            chosen, state = after.chosen(), after.state()
            assert chosen == state.current, "what the state names is there"
            assert after.problem(chosen) == "", "and whole"
            assert chosen in proven or state.previous in proven, "there is something to go back to"
            assert after.problem(state.previous) == ""
            assert state.highest >= highest, "whatever happens, an old update stays refused"
            highest = state.highest
            assert highest in {0, *(serials[name] for name in proven & serials.keys())}
            assert chosen in allowed, "what has worked stays until an update; a start only ends a trial"
            in_vain = in_vain if chosen == before else 0


def _start(store: Store, ready: bool, proven: set[str], in_vain: int) -> int:
    """What systemd does for a start; returns how often the chosen release has been started and was not ready."""
    before = store.chosen()
    store.change(State.begun)
    running = store.chosen()
    in_vain = in_vain if running == before else 0
    if ready:
        proven.add(running)
        store.change(State.confirmed)
        store.collect()
        return 0
    assert running in proven or in_vain < TRIAL_STARTS, "a release that is never ready is not started for ever"
    return in_vain + 1


def test_a_release_that_is_never_ready_gives_way_after_three_starts() -> None:
    state = State("0" * 12, "1" * 12).installed("2" * 12)
    for _ in range(TRIAL_STARTS):
        state = state.begun()
        assert state.current == "2" * 12
    assert state.begun() == State("0" * 12, "0" * 12)


def test_a_confirmed_release_stays_however_often_it_is_started() -> None:
    state = State().installed("2" * 12).begun().confirmed()
    for _ in range(10):
        state = state.begun()
    assert state == State("2" * 12, FACTORY)


def test_a_second_update_in_a_trial_goes_back_to_what_was_ready() -> None:
    state = State().installed("1" * 12).begun().installed("2" * 12)
    assert state.rolled_back().current == FACTORY


SENSELESS = [
    b'{"current": "../x"}',
    b'{"current": 3}',
    b'{"starts_left": "a"}',
    b'{"starts_left": 99}',
    b'{"highest": -1}',
    b'{"highest": "a"}',
    b'{"more": 1}',
    b"[]",
    b"[" * 50_000,
]


@given(text=st.one_of(st.binary(max_size=60), st.sampled_from(SENSELESS)))
def test_a_damaged_state_is_that_of_a_new_device(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = releases.device(Path(folder))
        (store.folder / "state.json").write_bytes(text)
        assert store.state() == State()
        assert store.chosen() == FACTORY


def test_an_update_that_is_gone_gives_way(tmp_path: Path) -> None:
    store = releases.device(tmp_path)
    store.change(lambda state: state.installed("a" * 12).installed("b" * 12))
    assert store.chosen() == FACTORY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": {"site/../../etc/passwd": "0" * 64}}, "outside of site/ and bundle/"),
        ({"files": {"/etc/passwd": "0" * 64}}, "outside of site/ and bundle/"),
        ({"files": {"site": "0" * 64}}, "outside of site/ and bundle/"),
        ({"files": {"site/a": "0"}}, "no SHA-256 for site/a"),
        ({"files": {"site/a": 3}}, "no SHA-256 for site/a"),
        ({"files": []}, "wrong type"),
        ({"version": 3}, "wrong type"),
        ({"serial": "7"}, "a serial that is none"),
        ({"serial": True}, "a serial that is none"),
        ({"serial": -1}, "a serial that is none"),
        ({"serial": 2**53}, "a serial that is none"),
        ({"serial": 1.5}, "a serial that is none"),
        ({"id": "0" * 12}, "not its files'"),
    ],
)
def test_a_manifest_is_checked(tmp_path: Path, change: dict[str, object], message: str) -> None:
    releases.make(tmp_path, "x")
    said = json.loads((tmp_path / "release.json").read_text())
    with pytest.raises(ValueError, match=message):
        parse(json.dumps(said | change).encode())


# ---- the tools, as installed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(OVERLAY / "usr", tmp_path / "usr")
    releases.device(tmp_path)
    return tmp_path


def tool(root: Path, *argv: str) -> str:
    command = [sys.executable, root / "usr/lib/dictate/release", "--root", root, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1) and (done.returncode == 0) == (not done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def dictate(root: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-sP", root / "usr/bin/dictate", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin", **environ})


def test_the_launcher_runs_the_release_in_force_with_its_bundle(root: Path) -> None:
    assert dictate(root, "run", "x").stdout.split() == ["factory", f"{root}/usr/lib/dictate/factory/bundle", "run", "x"]
    store = Store(root)
    update = releases.make(tmp := root / "made", "update", status=3)
    tmp.rename(store.path(update.id))
    store.change(lambda state: state.installed(update.id))
    done = dictate(root, "run")
    assert (done.returncode, done.stdout.split()[0]) == (3, "update")
    assert f"{store.path(update.id)}/bundle" in done.stdout
    assert dictate(root, "run", DICTATE_RELEASE="factory").stdout.startswith("factory")
    assert "elsewhere" in dictate(root, "run", DICTATE_BUNDLE="elsewhere").stdout


def test_begin_counts_down_rolls_back_and_says_so(root: Path) -> None:
    store = Store(root)
    update = releases.make(made := root / "made", "update")
    made.rename(store.path(update.id))
    store.change(lambda state: state.installed(update.id))
    assert tool(root, "status") == f"current {update.id} 1.0, on trial, 3 more starts\nprevious factory\n"
    before = os.umask(0o077)  # as in dictate.service
    for left in (2, 1, 0):
        assert f"{left} more starts" in tool(root, "begin")
    os.umask(before)
    assert (store.folder / "state.json").stat().st_mode & 0o777 == 0o644, "the service's user reads it"
    assert tool(root, "begin") == f"{update.id} did not become ready; back to factory\n"
    assert tool(root, "begin") == tool(root, "confirm") == ""
    assert tool(root, "status") == "current factory 1.0\nprevious factory\n"
    assert "no release before it" in tool(root, "rollback", "--no-restart")


def test_begin_does_not_start_a_release_that_lacks_a_file(root: Path) -> None:
    store = Store(root)
    update = releases.make(made := root / "made", "update")
    made.rename(store.path(update.id))
    (store.path(update.id) / "bundle/bundle.json").unlink()
    store.change(lambda state: state.installed(update.id))
    assert tool(root, "begin") == f"{update.id} lacks bundle/bundle.json; back to factory\n"


def test_confirm_keeps_the_release_and_removes_older_ones(root: Path) -> None:
    store, ids = Store(root), []
    for name in ("one", "two", "three"):
        update = releases.make(made := root / "made", name)
        made.rename(store.path(update.id))
        store.change(lambda state, id=update.id: state.installed(id))
        tool(root, "begin")
        assert tool(root, "confirm") == f"{update.id} works and stays\n"
        ids.append(update.id)
    assert {path.name for path in store.folder.glob("[0-9a-f]*")} == set(ids[1:])
    assert tool(root, "rollback", "--no-restart") == f"back from {ids[2]} to {ids[1]}\n"
    assert dictate(root).stdout.startswith("two")
