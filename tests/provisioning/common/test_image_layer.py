"""The layer on small trees: what it puts there, that it does so once, and that a release arrives whole."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from updater.releases import parse

from models import bundle
from models.errors import UserError
from provisioning.common import layer, release, tree
from provisioning.common.target import Target

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexample someone@somewhere"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with merged /usr and no files."""
    root = tmp_path / "root"
    for folder in ("usr/lib/systemd/system", "usr/bin", "etc/systemd/system"):
        (root / folder).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/passwd").touch()
    (root / "etc/group").touch()
    for name in ("shadow", "gshadow"):  # systemd-sysusers makes them with no rights at all, for root only
        (root / "etc" / name).touch(0o600)
    return root


def made(folder: Path, text: str = "print()\n") -> Path:
    """A release of one file."""
    (folder / "site").mkdir(parents=True)
    (folder / "site/program.py").write_text(text)
    release.describe(folder, Target("cp311"), without_coral=True)
    return folder


def test_the_layer_brings_files_users_units_and_release(root: Path, tmp_path: Path) -> None:
    files = layer.apply(root, made(tmp_path / "release"))
    assert all((root / path).exists() or (root / path).is_symlink() for path in files)
    assert (root / "usr/lib/dictate/keyboard-gadget").stat().st_mode & 0o777 == 0o755
    assert "\ndictate:" in "\n" + (root / "etc/passwd").read_text()
    enabled = {path.name for path in (root / "etc/systemd/system").rglob("*.wants/*")}
    assert {"dictate.service", "dictate-keyboard.service", "dictate-wyoming.service"} <= enabled
    assert tree.file_hashes(root / layer.FACTORY) == tree.file_hashes(tmp_path / "release")
    assert not (root / "etc/fstab").exists() and not (root / layer.SIGNERS).exists()


def test_laying_it_again_changes_nothing(root: Path, tmp_path: Path) -> None:
    built = made(tmp_path / "release")
    layer.apply(root, built, layer.Options(update_key=KEY))
    once = tree.digest(root)
    layer.apply(root, built, layer.Options(update_key=KEY))
    assert tree.digest(root) == once


def test_our_own_image_is_read_only_and_reads_its_meter(root: Path, tmp_path: Path) -> None:
    (root / "boot/firmware").mkdir(parents=True)
    files = layer.apply(root, made(tmp_path / "release"), layer.Options(own_image=True))
    mounts = {line.split()[1]: line.split()[3] for line in (root / "etc/fstab").read_text().splitlines()[1:]}
    assert mounts["/"].startswith("ro,") and mounts["/data"].startswith("rw,")
    assert all((root / place.lstrip("/")).is_dir() for place in mounts)
    assert layer.METER_OVERLAY in files
    assert (root / layer.METER_OVERLAY).read_bytes()[:4] == b"\xd0\x0d\xfe\xed"  # a flattened device tree
    assert "dtoverlay=ina219" in (root / "boot/firmware/config.txt").read_text()


def test_another_release_replaces_the_first_whole(root: Path, tmp_path: Path) -> None:
    first, second = made(tmp_path / "first"), made(tmp_path / "second", "print(2)\n")
    (first / "site/old.py").touch()
    layer.install_release(first, root / "factory")
    layer.install_release(second, root / "factory")
    assert tree.file_hashes(root / "factory") == tree.file_hashes(second)
    assert [path.name for path in root.glob(".factory*")] == []


def test_an_update_key_is_trusted_for_updates_only(root: Path, tmp_path: Path) -> None:
    layer.apply(root, made(tmp_path / "release"), layer.Options(update_key=KEY))
    words = (root / layer.SIGNERS).read_text().split()
    assert words[1:] == ['namespaces="dictate-update"', *KEY.split()[:2]]
    with pytest.raises(UserError, match=r"\.pub file"):
        layer.apply(root, tmp_path / "release", layer.Options(update_key="-----BEGIN OPENSSH PRIVATE KEY-----"))


def test_a_folder_that_is_no_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no root file system"):
        layer.apply(tmp_path, tmp_path)


def test_a_release_is_known_by_its_content(tmp_path: Path) -> None:
    one, same, other = made(tmp_path / "1"), made(tmp_path / "2"), made(tmp_path / "3", "pass\n")
    described = [json.loads((folder / release.FILE).read_text()) for folder in (one, same, other)]
    assert described[0] == described[1]
    assert described[0]["id"] != described[2]["id"] and len(described[0]["id"]) == 12
    assert described[0]["without_coral"] is True


def test_a_release_needs_a_bundle_and_a_new_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model bundle"):
        release.build_release(tmp_path / "release", Target("cp311"), tmp_path)
    with pytest.raises(UserError, match="there already"):
        release.build_release(tmp_path, Target("cp311"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def bundle_of(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(f'"{name}"')
    return folder


def test_a_release_has_the_second_model_where_the_device_looks_for_it(tmp_path: Path) -> None:
    first, second = bundle_of(tmp_path / "build/base", "1"), bundle_of(tmp_path / "build/moonshine-tiny", "2")
    assert bundle.second_pass(first) == second
    built = tmp_path / "release"
    release.copy_bundles(built, first, second)
    assert (built / "bundle/bundle.json").read_text() == '"1"'
    found = bundle.second_pass(built / "bundle")
    assert found and (found / "bundle.json").read_text() == '"2"'
    described = release.describe(built, Target("cp311"), without_coral=True)
    assert parse((built / release.FILE).read_bytes()).files == described.files  # what an updater accepts

    release.copy_bundles(tmp_path / "again", built / "bundle", None)
    assert bundle.second_pass(tmp_path / "again/bundle") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], "moonshine-tiny"), (["--without-second-pass"], None), (["--second-pass", "other"], "other")],
)
def test_which_second_model_a_command_takes(options: list[str], expected: str | None, tmp_path: Path) -> None:
    first = bundle_of(tmp_path / "base", "1")
    bundle_of(tmp_path / "moonshine-tiny", "2")
    parser = argparse.ArgumentParser()
    release.add_bundle_options(parser)
    chosen = release.chosen_second_pass(parser.parse_args(["--bundle", str(first), *options]))
    assert (chosen.name if chosen else None) == expected


def test_the_application_brings_its_licence(tmp_path: Path) -> None:
    release.copy_application(tmp_path)
    assert "Apache License" in (tmp_path / "LICENSE").read_text() and (tmp_path / "NOTICE").is_file()
