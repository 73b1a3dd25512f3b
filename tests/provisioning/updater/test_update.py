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
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import releases
from needs import Need, skip, unless
from updater import package
from updater.errors import LifecycleError, Refused
from updater.install import CARD_FILE, Platform, install, install_card
from updater.releases import FACTORY, State, Store

ROOT = Path(__file__).parents[3]
OVERLAY = ROOT / "provisioning" / "rootfs-overlay" / "all"


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
    serial = json.loads((Store(root).path(identity) / "release.json").read_text())["serial"]
    assert serial > 1_700_000_000, "seconds since 1970"
    assert Store(root).state() == State(identity, FACTORY, None, Store(root).state().card, highest=serial)
    assert Store(root).problem(identity) == ""
    assert tool(root, "update", "--no-restart", out).stdout == f"{identity} (1.1) runs already\n"


def test_the_same_release_and_key_make_the_same_file(made: Path, key: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        package.write(made, key, tmp_path / name, 1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as tar:
        assert tar.getnames()[:2] == ["release.json.sig", "release.json"]


# ---- files that are not taken


def signed(manifest: bytes, key: Path, out: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    """An update file put together by hand."""
    with tarfile.open(out, "w:gz", format=tarfile.USTAR_FORMAT) as tar:
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
    package.write(made, other, tmp_path / "x.update", 1)
    assert "not signed by a key that this device trusts" in refused(root, tmp_path / "x.update")


def test_a_manifest_changed_after_signing(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    manifest = (made / "release.json").read_bytes()
    signature = package.sign(manifest, key)
    changed = manifest.replace(b'"1.1"', b'"9.9"')
    with tarfile.open(tmp_path / "x.update", "w:gz", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in (("release.json.sig", signature), ("release.json", changed), *contents(made)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert "not signed by a key that this device trusts" in refused(root, tmp_path / "x.update")


def test_a_device_without_a_key_takes_none(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    (root / "etc/dictate-keys/allowed_signers").unlink()
    package.write(made, key, tmp_path / "x.update", 1)
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
    package.write(made, key, file := tmp_path / "x.update", 1)
    file.write_bytes(damaged(file.read_bytes(), random.Random(seed)))
    store = Store(root)
    before = everything(root)
    try:
        install(file, store, Platform(), lambda text: None)
    except LifecycleError as error:
        assert "\n" not in str(error)
        assert everything(root) == before
    else:
        assert store.chosen() != FACTORY and store.problem(store.chosen()) == ""


def test_a_file_cut_short_is_refused(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    package.write(made, key, file := tmp_path / "x.update", 1)
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
    package.write(tmp_path / "other", key, tmp_path / "x.update", 1)
    line = refused(root, tmp_path / "x.update")
    assert value in line and "make it for this one" in line


def test_an_older_version_only_when_said(root: Path, key: Path, tmp_path: Path) -> None:
    releases.make(tmp_path / "old", "old", "0.9.10")
    package.write(tmp_path / "old", key, tmp_path / "x.update", 1)
    assert "older than 1.0, which runs" in refused(root, tmp_path / "x.update")
    assert tool(root, "update", "--no-restart", "--downgrade", tmp_path / "x.update").returncode == 0


def ready(root: Path, file: Path, *options: str) -> None:
    """Install an update, and have it become ready."""
    for argv in (("update", "--no-restart", *options, file), ("begin",), ("confirm",)):
        assert tool(root, *argv).returncode == 0


def test_a_replayed_update_is_refused_also_after_going_back(root: Path, key: Path, tmp_path: Path) -> None:
    """Two releases of one version, as between two tags; only the serial tells which was first."""
    for serial, name in ((5, "old"), (7, "new"), (8, "newest")):
        releases.make(tmp_path / name, name)
        package.write(tmp_path / name, key, tmp_path / f"{name}.update", serial)
    ready(root, tmp_path / "new.update")
    line = refused(root, tmp_path / "old.update")
    assert "serial 5, not above 7" in line and "make it anew" in line
    assert tool(root, "rollback", "--no-restart").returncode == 0
    assert "serial 5, not above 7" in refused(root, tmp_path / "old.update")
    assert "serial 7, not above 7" in refused(root, tmp_path / "new.update"), "it was gone back from"
    shutil.copy(tmp_path / "old.update", root / CARD_FILE)
    assert tool(root, "card").returncode == 1 and "serial 5, not above 7" in complaint(root)
    ready(root, tmp_path / "old.update", "--downgrade")
    assert "serial 7, not above 7" in refused(root, tmp_path / "new.update"), "a downgrade does not lower it"
    ready(root, tmp_path / "newest.update")
    assert Store(root).state().highest == 8


def test_an_update_that_was_never_ready_may_be_tried_again(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    package.write(made, key, tmp_path / "x.update", 5)
    assert tool(root, "update", "--no-restart", tmp_path / "x.update").returncode == 0
    assert tool(root, "rollback", "--no-restart").returncode == 0
    ready(root, tmp_path / "x.update")


def test_the_serial_is_signed(root: Path, made: Path, key: Path, tmp_path: Path) -> None:
    package.write(made, key, tmp_path / "x.update", 5)
    with package.opened(tmp_path / "x.update") as update:
        manifest, signature = update.manifest, update.signature
    changed = manifest.replace(b'"serial": 5', b'"serial": 9')
    assert changed != manifest
    with tarfile.open(tmp_path / "y.update", "w:gz", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in (("release.json.sig", signature), ("release.json", changed), *contents(made)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert "not signed by a key that this device trusts" in refused(root, tmp_path / "y.update")


def test_no_room(root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write(made, key, tmp_path / "x.update", 1)
    monkeypatch.setattr("updater.install.SPARE", 1 << 60)
    before = everything(root)
    with pytest.raises(LifecycleError, match=r"no room for .*: free some of the data partition"):
        install(tmp_path / "x.update", Store(root), Platform(), print)
    assert everything(root) == before


@unless(os.geteuid() == 0, Need.KERNEL, "root, to mount a small file system")
def test_a_full_disk(root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write(made, key, tmp_path / "x.update", 1)
    monkeypatch.setattr("updater.install.SPARE", -1 << 60)
    folder = root / "var/lib/dictate-releases"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], capture_output=True).returncode:
        skip(Need.KERNEL, "the right to mount")
    try:
        with pytest.raises(LifecycleError, match="No space left on device"):
            install(tmp_path / "x.update", Store(root), Platform(), print)
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
    package.write(made, key, tmp_path / "x.update", 1)
    with Store(root).locked("update"):
        assert "another update is being installed" in refused(root, tmp_path / "x.update")


# ---- on the card


def complaint(root: Path) -> str:
    file = root / "run/dictate-setup/update-error"
    return file.read_text() if file.exists() else ""


def test_an_update_on_the_card_is_installed_once(root: Path, made: Path, key: Path) -> None:
    package.write(made, key, root / CARD_FILE, 1)
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


def test_a_refused_file_is_not_read_again(
    root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, store = root / CARD_FILE, Store(root)
    package.write(made, key, file, 1)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LifecycleError, match="cut short") as first:
        install_card(store, Platform(), print)
    with monkeypatch.context() as patch:
        patch.setattr(package, "opened", lambda path: pytest.fail("it was read as an update again"))
        with pytest.raises(LifecycleError) as second:
            install_card(store, Platform(), print)
    assert str(second.value) == str(first.value)
    done = tool(root, "card")
    assert done.returncode == 1 and complaint(root) == f"{first.value}\n", "the LED and the console still say why"
    file.write_bytes(whole)
    assert install_card(store, Platform(), print), "another file is tried"


def test_no_room_is_not_remembered(root: Path, made: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.write(made, key, root / CARD_FILE, 1)
    with monkeypatch.context() as patch:
        patch.setattr("updater.install.SPARE", 1 << 60)
        with pytest.raises(LifecycleError, match="no room"):
            install_card(Store(root), Platform(), print)
    assert install_card(Store(root), Platform(), print)


# ---- files made to exhaust the device


def bomb(kind: bytes) -> bytes:
    """An archive that begins with an extended header of 512 MiB, packed into half a megabyte."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, 512 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = b"1" * (1 << 20)
    return packer.compress(info.tobuf()) + b"".join(packer.compress(block) for _ in range(512)) + packer.flush()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_an_unsigned_file_costs_little_memory(root: Path, tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "x.update").write_bytes(bomb(kind))
    bounded = ("prlimit", f"--as={256 << 20}", sys.executable, "-sP", root / "usr/lib/dictate/release", "--root", root)
    done = subprocess.run(
        [*bounded, "update", "--no-restart", tmp_path / "x.update"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "not signed" in done.stderr and done.stderr.count("\n") == 1


def test_pax_numbers_are_not_read(root: Path, tmp_path: Path) -> None:
    """tarfile looks for the end of each of them, in time that is quadratic in their number."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 320_000
    (tmp_path / "x.update").write_bytes(gzip.compress(info.tobuf() + b"1" * 320_000 + bytes(2048)))
    assert "not signed" in refused(root, tmp_path / "x.update")


@pytest.mark.parametrize("limit", ["HEAD_S", "UNPACK_S"])
def test_an_update_that_takes_too_long_is_refused(
    root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    package.write(made, key, tmp_path / "x.update", 1)
    monkeypatch.setattr(package, limit, -1.0)
    before = everything(root)
    with pytest.raises(Refused, match="takes too long to unpack"):
        install(tmp_path / "x.update", Store(root), Platform(), print)
    assert everything(root) == before


def test_an_update_that_unpacks_to_too_much_is_refused(
    root: Path, made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.write(made, key, file := tmp_path / "x.update", 1)
    monkeypatch.setattr(package, "LARGEST", file.stat().st_size + 4_096)
    with pytest.raises(Refused, match="larger than an update may be"):
        install(file, Store(root), Platform(), print)
    with file.open("ab") as stream:
        stream.truncate(package.LARGEST + 1)
    with pytest.raises(Refused, match="larger than an update may be"):
        install(file, Store(root), Platform(), print)


@pytest.mark.parametrize("command", ["begin", "confirm", "rollback", "card", "status"])
@unless(not Path("/usr/lib/dictate/factory").exists(), Need.HARDWARE, "a machine that is no dictation device")
def test_a_machine_that_is_no_device_is_left_alone(command: str) -> None:
    tool = ROOT / "provisioning/rootfs-overlay/all/usr/lib/dictate/release"
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
