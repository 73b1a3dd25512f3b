"""Archives from elsewhere are unpacked inside their folder or not at all."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import archives


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.uid = info.gid = 12345
    info.size = 4 if kind == tarfile.REGTYPE else 0
    return info


def packed(members: Sequence[tarfile.TarInfo]) -> tarfile.TarFile:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"text"))
    stream.seek(0)
    return tarfile.open(fileobj=stream)


def test_files_folders_and_links_downwards_arrive_as_the_callers_own(tmp_path: Path) -> None:
    members = [
        member("bin", tarfile.DIRTYPE, mode=0o555),
        member("bin/tool-1.0", mode=0o4775),
        member("bin/tool", tarfile.SYMTYPE, "tool-1.0"),
        member("copy", tarfile.LNKTYPE, "bin/tool-1.0", mode=0o4775),
        member("./secret", mode=0o000),
    ]
    archives.unpack(packed(members), tmp_path)
    assert (tmp_path / "bin/tool").read_text() == "text" and (tmp_path / "bin/tool").readlink() == Path("tool-1.0")
    assert (tmp_path / "copy").samefile(tmp_path / "bin/tool-1.0")
    modes = {name: (tmp_path / name).stat().st_mode & 0o7777 for name in ("bin", "bin/tool-1.0", "secret")}
    assert modes == {"bin": 0o755, "bin/tool-1.0": 0o755, "secret": 0o600}
    assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {os.geteuid()}


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("a/../../outside"),
        member("/tmp/outside-of-the-archive"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.SYMTYPE, "a/../.."),
        member("link", tarfile.LNKTYPE, "../outside"),
        member("link", tarfile.LNKTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "link"),
        member("device", tarfile.CHRTYPE),
        member("disk", tarfile.BLKTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad.type.decode()} {bad.name} {bad.linkname}",
)
def test_an_archive_with_anything_else_is_refused_as_a_whole(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    with pytest.raises(tarfile.TarError, match=r"neither|leads out|links to no"):
        archives.unpack(packed([member("good"), bad]), tmp_path / "in")
    assert list(tmp_path.iterdir()) == []


parts = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c"]), min_size=1, max_size=4).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@given(st.lists(st.tuples(parts.filter(bool), kinds, parts), max_size=6))
def test_whatever_the_links_nothing_is_written_outside(entries: list[tuple[str, bytes, str]]) -> None:
    with TemporaryDirectory() as scratch:
        around = Path(scratch, "around")
        (around / "a").mkdir(parents=True)
        (around / "b").write_text("theirs")
        inside = around / "in"
        inside.mkdir()
        with suppress(tarfile.TarError, OSError):  # one name twice, a link to itself
            archives.unpack(packed([member(*entry) for entry in entries]), inside)
        assert sorted(path.name for path in around.iterdir()) == ["a", "b", "in"]
        assert (around / "b").read_text() == "theirs" and list((around / "a").iterdir()) == []
        for path in inside.rglob("*"):
            assert not path.exists() or path.resolve().is_relative_to(inside.resolve())
