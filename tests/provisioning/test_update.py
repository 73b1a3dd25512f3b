"""Updates: what is signed and whole is installed, anything else changes nothing and says why in a line."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import releases
from lifecycle import package
from lifecycle.errors import LifecycleError
from lifecycle.install import CARD_FILE, Machine, install
from lifecycle.releases import FACTORY, State, Store

ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "provisioning" / "overlay"

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releases.key(tmp_path_factory.mktemp("key"))


@pytest.fixture
def root(tmp_path: Path, key: Path) -> Path:
    """A device that trusts the key, with the tools as installed."""
    shutil.copytree(OVERLAY / "usr", tmp_path / "device/usr")
    releases.device(tmp_path / "device", Path(f"{key}.pub"))
    return tmp_path / "device"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    releases.make(tmp_path / "made", "new", "1.1")
    return tmp_path / "made"


def tool(root: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-sP", root / "usr/lib/dictate/release", "--root", root, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == (1 if done.returncode else 0)
    return done


def everything(root: Path) -> dict[str, bytes]:
    """Every file of a device but the locks."""
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.name not in (".lock", ".update")}


def refused(root: Path, file: Path, *options: str) -> str:
    """Try an update that must not be taken; returns the line that says why."""
    before = everything(root)
    done = tool(root, "update", "--no-restart", *options, file)
    assert done.returncode == 1
    assert everything(root) == before
    return done.stderr.removeprefix("release: ").rstrip("\n")


def test_make_update_update_start_confirm(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    """The whole way with the installed commands."""
    out = tmp_path / "new.update"
    command = [sys.executable, ROOT / "provisioning/make-update", "--key", key, "--release", made, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    identity = json.loads((made / "release.json").read_text())["id"]
    assert identity in done.stdout
    said = tool(root, "update", "--no-restart", out).stdout
    assert said == f"{identity} (1.1) is installed; it stays if it becomes ready\n"
    for verb in ("begin", "confirm"):
        assert tool(root, verb).returncode == 0
    launched = subprocess.run([sys.executable, "-sP", root / "usr/bin/dictate"], capture_output=True, text=True)
    assert launched.stdout.startswith("new ")
    assert Store(root).state() == State(identity, FACTORY, None, Store(root).state().card)
    assert Store(root).problem(identity) == ""
    assert tool(root, "update", "--no-restart", out).stdout == f"{identity} (1.1) runs already\n"


def test_the_same_release_and_key_make_the_same_file(made: Path, key: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        package.write(made, key, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as tar:
        assert tar.getnames()[:2] == ["release.json.sig", "release.json"]


# ---- files that are not taken


def signed(manifest: bytes, key: Path, out: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    """An update file put together by hand."""
    with tarfile.open(out, "w:gz") as tar:
        for member in (("release.json.sig", package.sign(manifest, key)), ("release.json", manifest), *members):
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return out


def contents(made: Path) -> list[tuple[str, bytes]]:
    files = json.loads((made / "release.json").read_text())["files"]
    return [(name, (made / name).read_bytes()) for name in files]


def special(kind: bytes, name: str, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_unsigned(root: Path, made: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "unsigned.update", "w:gz") as tar:
        tar.add(made, "")
    assert "not signed" in refused(root, tmp_path / "unsigned.update")


@pytest.mark.parametrize("namespace", ["dictate-update", "file"])
def test_signed_by_somebody_else_or_for_something_else(
    root: Path, made: Path, key: Path, tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "NAMESPACE", namespace)
    other = releases.key(tmp_path, "other") if namespace == "dictate-update" else key
    package.write(made, other, tmp_path / "x.update")
    assert "not signed by a key that this device trusts" in refused(root, tmp_path / "x.update")


def test_a_manifest_changed_after_signing(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    manifest = (made / "release.json").read_bytes()
    signature = package.sign(manifest, key)
    changed = manifest.replace(b'"1.1"', b'"9.9"')
    with tarfile.open(tmp_path / "x.update", "w:gz") as tar:
        for name, data in (("release.json.sig", signature), ("release.json", changed), *contents(made)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert "not signed by a key that this device trusts" in refused(root, tmp_path / "x.update")


def test_a_device_without_a_key_takes_none(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    (root / "etc/dictate-keys/allowed_signers").unlink()
    package.write(made, key, tmp_path / "x.update")
    assert "built without --update-key" in refused(root, tmp_path / "x.update")


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut short, or with one bit changed."""
    place = chance.randrange(10, len(data))
    if chance.random() < 0.5:
        return data[:place]
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_refused_or_all_that_it_installs_is_whole(
    root: Path, made: Path, key: Path, tmp_path: Path, seed: int
) -> None:
    """A bit of a time stamp, or the end behind the last file, may be lost without harm."""
    package.write(made, key, file := tmp_path / "x.update")
    file.write_bytes(damaged(file.read_bytes(), random.Random(seed)))
    store = Store(root)
    before = everything(root)
    try:
        install(file, store, Machine(), lambda text: None)
    except LifecycleError as error:
        assert "\n" not in str(error)
        assert everything(root) == before
    else:
        assert store.chosen() != FACTORY and store.problem(store.chosen()) == ""


def test_a_file_cut_short_is_refused(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    package.write(made, key, file := tmp_path / "x.update")
    data = file.read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.9):
        file.write_bytes(data[: int(share * len(data))])
        assert "again" in refused(root, file)


@pytest.mark.parametrize(
    "extra",
    [
        ("../../../etc/cron.d/evil", b"x"),
        ("/etc/cron.d/evil", b"x"),
        ("site/more.py", b"x"),
        special(tarfile.SYMTYPE, "site/link", "/etc/passwd"),
        special(tarfile.LNKTYPE, "site/link", "../../etc/passwd"),
        special(tarfile.CHRTYPE, "site/device"),
        special(tarfile.FIFOTYPE, "site/pipe"),
        special(tarfile.DIRTYPE, "site"),
    ],
    ids=lambda extra: extra.name if isinstance(extra, tarfile.TarInfo) else extra[0],
)
def test_members_that_are_not_in_the_signed_list(
    root: Path, made: Path, key: Path, tmp_path: Path, extra: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    manifest = (made / "release.json").read_bytes()
    file = signed(manifest, key, tmp_path / "x.update", extra, *contents(made))
    assert "is not in its signed list" in refused(root, file)
    file = signed(manifest, key, tmp_path / "x.update", *contents(made), extra)
    assert "is not in its signed list" in refused(root, file)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "site/../../evil", "evil", "site//evil"])
def test_even_a_signed_list_may_not_leave_the_release(root: Path, key: Path, tmp_path: Path, name: str) -> None:
    manifest = json.dumps({"id": "0" * 12, "version": "2", "python": "", "machine": "", "files": {name: "0" * 64}})
    file = signed(manifest.encode(), key, tmp_path / "x.update", (name, b"x"))
    assert "outside of site/ and bundle/" in refused(root, file)


def test_a_link_in_place_of_a_listed_file(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    link = special(tarfile.SYMTYPE, "site/device/cli.py", "/etc/passwd")
    file = signed((made / "release.json").read_bytes(), key, tmp_path / "x.update", link, *contents(made))
    assert "is not in its signed list" in refused(root, file)


def test_a_file_twice_or_missing_or_changed(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    manifest, files = (made / "release.json").read_bytes(), contents(made)
    assert "is not in its signed list" in refused(root, signed(manifest, key, tmp_path / "x", *files, files[0]))
    assert "1 files are missing" in refused(root, signed(manifest, key, tmp_path / "x", *files[1:]))
    changed = [(files[0][0], files[0][1] + b" "), *files[1:]]
    assert f"{files[0][0]} is damaged" in refused(root, signed(manifest, key, tmp_path / "x", *changed))


@pytest.mark.parametrize(("field", "value"), [("machine", "riscv64"), ("python", "cp399")])
def test_for_another_machine(root: Path, key: Path, tmp_path: Path, field: str, value: str) -> None:
    releases.make(tmp_path / "other", "x", "2", **{field: value})
    package.write(tmp_path / "other", key, tmp_path / "x.update")
    line = refused(root, tmp_path / "x.update")
    assert value in line and "make it for this one" in line


def test_an_older_version_only_when_said(root: Path, key: Path, tmp_path: Path) -> None:
    releases.make(tmp_path / "old", "old", "0.9.10")
    package.write(tmp_path / "old", key, tmp_path / "x.update")
    assert "older than 1.0, which runs" in refused(root, tmp_path / "x.update")
    assert tool(root, "update", "--no-restart", "--downgrade", tmp_path / "x.update").returncode == 0


def test_no_room(root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write(made, key, tmp_path / "x.update")
    monkeypatch.setattr("lifecycle.install.SPARE", 1 << 60)
    before = everything(root)
    with pytest.raises(LifecycleError, match=r"no room for .*: free some of the data partition"):
        install(tmp_path / "x.update", Store(root), Machine(), print)
    assert everything(root) == before


@pytest.mark.skipif(bool(os.geteuid()), reason="needs root to mount")
def test_a_full_disk(root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write(made, key, tmp_path / "x.update")
    monkeypatch.setattr("lifecycle.install.SPARE", -1 << 60)
    folder = root / "var/lib/dictate-releases"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        with pytest.raises(LifecycleError, match="No space left on device"):
            install(tmp_path / "x.update", Store(root), Machine(), print)
        assert not list(folder.glob("[0-9a-f]*")) and not (folder / ".incoming").exists()
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: file.write_bytes(b"x" * 10_000),
        lambda file: file.write_bytes(gzip.compress(b"x" * 10_000)),
        lambda file: file.write_bytes(gzip.compress(tarfile.TarInfo("release.json.sig").tobuf() + b"\0" * 1024)),
    ],
)
def test_no_update_file(root: Path, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    (file := tmp_path / "x.update").touch()
    spoil(file)
    assert refused(root, file).startswith(("x.update: ", "not an update file"))


def test_two_at_once(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    package.write(made, key, tmp_path / "x.update")
    with Store(root).locked("update"):
        assert "another update is being installed" in refused(root, tmp_path / "x.update")


# ---- on the card


def complaint(root: Path) -> str:
    file = root / "run/dictate-setup/update-error"
    return file.read_text() if file.exists() else ""


def test_an_update_on_the_card_is_installed_once(root: Path, made: Path, key: Path) -> None:
    package.write(made, key, root / CARD_FILE)
    identity = json.loads((made / "release.json").read_text())["id"]
    assert identity in tool(root, "card").stdout
    assert Store(root).state().starts_left == 3
    for _ in range(4):
        assert tool(root, "card").stdout == ""
        tool(root, "begin")
    assert Store(root).chosen() == FACTORY, "it was never ready"
    for _ in range(3):
        assert tool(root, "card").stdout == ""
        assert tool(root, "begin").stdout == ""
    assert Store(root).chosen() == FACTORY, "the file still lies there, and is not tried again"
    assert complaint(root) == ""


def test_a_bad_one_on_the_card_is_told_and_passed_over(root: Path, key: Path) -> None:
    (root / CARD_FILE).write_bytes(b"nonsense")
    done = tool(root, "card")
    assert done.returncode == 1 and "not an update file" in complaint(root)
    assert Store(root).chosen() == FACTORY
    (root / CARD_FILE).unlink()
    assert tool(root, "card").returncode == 0 and complaint(root) == ""


@pytest.mark.parametrize("command", ["begin", "confirm", "rollback", "card", "status"])
@pytest.mark.skipif(Path("/usr/lib/dictate/factory").exists(), reason="this machine is a dictation device")
def test_a_machine_that_is_no_device_is_left_alone(command: str) -> None:
    tool = ROOT / "provisioning/overlay/usr/lib/dictate/release"
    done = subprocess.run([sys.executable, "-sP", tool, command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "is no dictation device" in done.stderr and done.stderr.count("\n") == 1
    assert not Path("/var/lib/dictate-releases").exists() and not Path("/run/dictate-setup").exists()


# ---- making one


def make_update(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "provisioning/make-update", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def test_make_update_says_what_is_wrong(made: Path, key: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.update"
    for argv, message in (
        (("--key", tmp_path / "none", "--release", made), "no such key; make one: ssh-keygen -t ed25519"),
        (("--key", made / "release.json", "--release", made), "ssh-keygen cannot sign with it"),
        (("--key", key, "--release", tmp_path), "release.json"),
        (("--key", key, "--bundle", tmp_path), "no model bundle"),
    ):
        done = make_update(*argv, "--out", out)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
        assert not out.exists()
    (made / "site/device/cli.py").write_text("changed")
    done = make_update("--key", key, "--release", made, "--out", out)
    assert "site/device/cli.py is not as release.json says" in done.stderr and not out.exists()
