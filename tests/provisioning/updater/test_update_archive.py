"""The reader of update files: what tarfile writes comes back, and nothing that it is given costs much."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from updater.archive import Archive, ArchiveError

LARGEST = 1 << 24


def archive(data: bytes, largest: int = LARGEST) -> Archive:
    opened = Archive(io.BytesIO(data), largest)
    opened.allow(60.0)
    return opened


def everything(data: bytes, largest: int = LARGEST) -> Iterator[tuple[str, bool, bytes]]:
    reader = archive(data, largest)
    while (member := reader.next()) is not None:
        yield member.name, member.regular, b"".join(reader.blocks())


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as made:
        for info, content in members:
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue())


names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20),
    min_size=1,
    max_size=8,
).map("/".join)


@given(files=st.lists(st.tuples(names.filter(lambda name: len(name.encode()) <= 100), st.binary(max_size=3_000))))
def test_what_tarfile_writes_comes_back(files: list[tuple[str, bytes]]) -> None:
    packed = tar(*((tarfile.TarInfo(name), content) for name, content in files))
    assert list(everything(packed)) == [(name.rstrip("/"), True, content) for name, content in files]


def test_a_long_name_comes_back() -> None:
    name = "site/" + "/".join(["a" * 40] * 5) + "/b"
    assert list(everything(tar((tarfile.TarInfo(name), b"x")))) == [(name, True, b"x")]


def test_content_may_be_passed_over() -> None:
    reader = archive(tar((tarfile.TarInfo("a"), b"x" * 100_000), (tarfile.TarInfo("b"), b"y")))
    assert [member.name for member in (reader.next(), reader.next()) if member] == ["a", "b"]
    assert b"".join(reader.blocks()) == b"y" and reader.next() is None


@given(data=st.binary(max_size=2_000))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for packed in (data, gzip.compress(data), gzip.compress(data + bytes(512))):
        with pytest.raises(ArchiveError):
            list(everything(packed))
            raise ArchiveError("read")


@given(
    place=st.integers(0, 511), value=st.integers(0, 255), kind=st.sampled_from(b"0125xgLK\0S"), size=st.integers(0, 999)
)
def test_a_changed_header_is_refused(place: int, value: int, kind: int, size: int) -> None:
    info = tarfile.TarInfo("site/a")
    info.size, info.type = size, bytes([kind])
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    same = header[place] == value
    header[place] = value
    data = gzip.compress(bytes(header) + bytes(1024 + 512))
    try:
        ((name, regular, content),) = everything(data)
    except ArchiveError as error:
        assert not same or "cut short" in str(error)
    else:
        assert (name.rstrip("/"), regular, len(content)) == ("site/a", kind in b"0\0", size)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.SYMTYPE])
def test_extended_headers_and_links_are_irregular_and_not_followed(kind: bytes) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = kind
    ((name, regular, _),) = everything(tar((info, b"17 path=site/evil\n")))
    assert (name, regular) == ("././@PaxHeader", False)


def test_no_more_is_unpacked_than_is_allowed() -> None:
    bomb = tar((tarfile.TarInfo("a"), bytes(1 << 22)))
    assert len(bomb) < 1 << 13
    with pytest.raises(ArchiveError, match="larger than an update may be"):
        list(everything(bomb, largest=1 << 20))


def test_a_block_is_small_whatever_a_header_claims() -> None:
    reader = archive(tar((tarfile.TarInfo("a"), bytes(1 << 22))))
    reader.next()
    assert max(map(len, reader.blocks())) <= 1 << 16


def test_a_stream_that_unpacks_to_nothing_ends() -> None:
    """A deflate stream of empty blocks gives no bytes however long it is."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    empty = b"".join(packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    stream = io.BytesIO(empty + b"\0\0\0\xff\xff" * 1_000_000)
    clock = itertools.count()
    reader = Archive(stream, LARGEST, lambda: float(next(clock)))
    reader.allow(10.0)
    with pytest.raises(ArchiveError, match="takes too long"):
        reader.next()
    assert stream.tell() < len(stream.getvalue())
