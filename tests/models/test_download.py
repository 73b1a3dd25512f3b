"""The one download, from a loopback server: whole, or nothing and one line."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path

import pytest
from loopback import Served, serving

from models.download import DownloadError, WrongFile, copy, download, take

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LARGEST = 1 << 21


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_of_it_arrives_and_is_counted(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with serving(Served(CONTENT), "file.bin") as url:
        got = download(
            url, tmp_path / "kept", sha256=DIGEST, largest=LARGEST, tell=lambda done, total: seen.append((done, total))
        )
    assert got == tmp_path / "kept" and got.read_bytes() == CONTENT and left(tmp_path) == ["kept"]
    assert got.stat().st_mode & 0o777 == 0o644
    assert [done for done, _ in seen] == sorted({done for done, _ in seen}) and seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    ("served", "error", "message"),
    [
        (Served(CONTENT[::-1]), WrongFile, "is not the pinned file"),
        (Served(CONTENT, status=403), DownloadError, "answers 403"),
        (Served(CONTENT, sends=1000), DownloadError, "ended after 1,000 of 1,048,576 bytes|cannot be downloaded"),
        (Served(CONTENT, sends=0), DownloadError, "ended after 0 of|cannot be downloaded"),
        (Served(CONTENT + CONTENT + b"x"), WrongFile, "is larger than 2,097,152 bytes"),
        (Served(CONTENT, sends=1000, stalls=True), DownloadError, "timed out"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_else_is_kept(tmp_path: Path, served: Served, error: type[DownloadError], message: str) -> None:
    (tmp_path / "kept").write_bytes(b"before")
    with serving(served, "file.bin") as url, pytest.raises(error, match=message) as caught:
        download(url, tmp_path / "kept", sha256=DIGEST, largest=LARGEST, timeout_s=0.5)
    assert type(caught.value) is error and "\n" not in str(caught.value)
    assert left(tmp_path) == ["kept"] and (tmp_path / "kept").read_bytes() == b"before"


def test_no_server(tmp_path: Path) -> None:
    with serving(Served(CONTENT), "file.bin") as url:
        pass
    with pytest.raises(DownloadError, match=r"cannot be downloaded \(.*Connection refused\)"):
        download(url, tmp_path / "kept", sha256=DIGEST, largest=LARGEST)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b""]
)
def test_a_server_that_does_not_speak_http_is_told_in_one_line(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        with pytest.raises(DownloadError, match="cannot be downloaded") as caught:
            download(url, tmp_path / "x", sha256=DIGEST, largest=LARGEST)
    assert "\n" not in str(caught.value) and left(tmp_path) == []


def test_a_disk_that_is_full_is_not_the_servers_fault(tmp_path: Path) -> None:
    with serving(Served(CONTENT), "file.bin") as url, pytest.raises(OSError) as caught:
        download(url, tmp_path / "no" / "folder", sha256=DIGEST, largest=LARGEST)
    assert not isinstance(caught.value, DownloadError)


def test_a_file_is_taken_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(CONTENT)
    (tmp_path / "bad").write_bytes(CONTENT[1:])
    got = take(tmp_path / "good", tmp_path / "kept", sha256=DIGEST, largest=LARGEST)
    assert got.read_bytes() == CONTENT
    with pytest.raises(WrongFile, match="bad is not the pinned file"):
        take(tmp_path / "bad", tmp_path / "kept", sha256=DIGEST, largest=LARGEST)
    with pytest.raises(DownloadError, match="none cannot be read: No such file"):
        take(tmp_path / "none", tmp_path / "kept", sha256=DIGEST, largest=LARGEST)
    assert left(tmp_path) == ["bad", "good", "kept"] and (tmp_path / "kept").read_bytes() == CONTENT


def test_a_source_that_never_ends_is_given_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Path("/dev/zero").open("rb") as endless, out.open("wb") as file, pytest.raises(WrongFile, match="larger than"):
        copy(endless, file, "x", 1 << 20)
    assert out.stat().st_size <= 1 << 20
