"""Installing the compiler from a loopback server: whole, unreachable, altered, interrupted, unsafe."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from loopback import Served, serving

from convert.edgetpu import install
from convert.edgetpu.compiled import compiler
from convert.edgetpu.errors import InstallError
from convert.edgetpu.install import Lock
from models.files import alone

ROOT = Path(__file__).parents[3]
VERSION = "16.0.384591198"
FAKE = ROOT / "tests" / "support" / "edgetpu_fake_compiler.py"
# Stands where the archive has its dynamic loader: checks how it is called, then runs the program.
LOADER = f"""#!/bin/sh
[ "$1" = --library-path ] && [ -d "$2" ] || exit 9
shift 2
exec {sys.executable} "$@"
"""


def archive(version: str = VERSION, extra: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """A .tar.gz laid out like the real one, whose compiler says `version`."""
    program = FAKE.read_text().replace(VERSION, version)
    files = {
        "usr/bin/edgetpu_compiler": b"#!/bin/bash\n",
        "usr/bin/edgetpu_compiler_bin/edgetpu_compiler": program.encode(),
        "usr/bin/edgetpu_compiler_bin/ld-linux-x86-64.so.2": LOADER.encode(),
        **extra,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def server(served: Served) -> AbstractContextManager[str]:
    return serving(served, "compiler.tar.gz")


def lock_for(content: bytes, url: str) -> Lock:
    return Lock(VERSION, url, hashlib.sha256(content).hexdigest(), "x86_64")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_the_pinned_release_is_installed_once_and_found(tmp_path: Path) -> None:
    served = Served(archive())
    with server(served) as url:
        lock = lock_for(served.content, url)
        command = install.install(lock, tmp_path)
        assert install.install(lock, tmp_path) == command
    assert served.requests == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"edgetpu_compiler-{VERSION}"]
    assert install.installed(tmp_path) == command
    found = compiler.find("auto", cache=tmp_path)
    assert shutil.which("edgetpu_compiler") or (found is not None and found.version() == VERSION)


def refused(lock: Lock, cache: Path) -> str:
    with pytest.raises(InstallError) as error:
        install.install(lock, cache)
    assert not cache.exists()
    assert install.installed(cache) is None
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unreachable_server_leaves_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    content = archive()
    with server(Served(content)) as url:
        pass
    message = refused(lock_for(content, url), tmp_path)
    assert "cannot be downloaded" in message and "--archive" in message


def test_a_refusing_server_leaves_nothing(tmp_path: Path) -> None:
    content = archive()
    with server(Served(content, status=403)) as url:
        assert "answers 403" in refused(lock_for(content, url), tmp_path)


def test_an_altered_download_is_not_kept(tmp_path: Path) -> None:
    content = archive()
    altered = content[:100] + bytes([content[100] ^ 1]) + content[101:]
    with server(Served(altered)) as url:
        assert "not the pinned file" in refused(lock_for(content, url), tmp_path)


@pytest.mark.parametrize("sends", [0, 1, 1000])
def test_a_download_that_ends_early_is_not_kept(tmp_path: Path, sends: int) -> None:
    content = archive()
    with server(Served(content, sends=sends)) as url:
        assert f"ended after {sends:,} of" in refused(lock_for(content, url), tmp_path)


def test_a_download_that_stalls_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "TIMEOUT_S", 0.3)
    content = archive()
    with server(Served(content, sends=1000, stalls=True)) as url:
        assert "timed out" in refused(lock_for(content, url), tmp_path)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_installation_leaves_nothing_that_is_taken_for_a_compiler(
    tmp_path: Path, how: signal.Signals
) -> None:
    content = archive()
    served = Served(content, sends=1000, stalls=True)
    with server(served) as url:
        lock = lock_for(content, url)
        file = tmp_path / "compiler.lock"
        file.write_text(f'version = "{VERSION}"\nurl = "{url}"\nsha256 = "{lock.sha256}"\nmachine = "x86_64"\n')
        cache = tmp_path / "cache"
        command = [sys.executable, "-m", "convert.edgetpu", "install-compiler", "--lock", str(file)]
        process = subprocess.Popen(
            [*command, "--cache", str(cache)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not served.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(how)
        assert process.wait(timeout=30) != 0
        assert install.installed(cache) is None
        if how is signal.SIGINT:
            assert not cache.exists()
        served.sends, served.stalls = None, False
        assert install.install(lock, cache)
        assert [path.name for path in cache.iterdir()] == [f"edgetpu_compiler-{VERSION}"]


def test_a_second_installation_waits_for_the_first_and_takes_what_it_made(tmp_path: Path) -> None:
    served, waiting, commands = Served(archive()), threading.Event(), []
    cache, first = tmp_path / "cache", tmp_path / "cache" / f"{install.PARTIAL}first"
    with server(served) as url:
        lock = lock_for(served.content, url)
        install.install(lock, tmp_path / "made")
        second = threading.Thread(target=lambda: commands.append(install.install(lock, cache, waiting=waiting.set)))
        first.mkdir(parents=True)
        with alone(cache):
            second.start()
            assert waiting.wait(60) and first.exists()
            next((tmp_path / "made").iterdir()).rename(cache / f"edgetpu_compiler-{VERSION}")
            first.rmdir()
        second.join(60)
    assert commands == [install.installed(cache)] and served.requests == 1
    assert [path.name for path in cache.iterdir()] == [f"edgetpu_compiler-{VERSION}"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not an archive", "cannot be unpacked"),
        (archive(extra={"../outside": b"x"}), "cannot be unpacked"),
        (archive(version="15.0.340273435"), "says: Edge TPU Compiler version 15.0"),
    ],
)
def test_a_wrong_archive_is_not_kept(tmp_path: Path, content: bytes, says: str) -> None:
    cache = tmp_path / "cache"
    with server(Served(content)) as url:
        assert says in refused(lock_for(content, url), cache)
    assert not (tmp_path / "outside").exists()


def test_an_archive_without_a_loader_is_not_kept(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("usr/bin/edgetpu_compiler"), io.BytesIO())
    with server(Served(packed.getvalue())) as url:
        assert "holds no edgetpu_compiler with its ld-linux" in refused(lock_for(packed.getvalue(), url), tmp_path)


def test_a_copy_of_the_archive_is_installed_without_a_network(tmp_path: Path) -> None:
    content = archive()
    copy = tmp_path / "copy.tar.gz"
    copy.write_bytes(content)
    lock = lock_for(content, "http://127.0.0.1:9/never-asked")
    assert install.install(lock, tmp_path / "cache", archive=copy)


def test_another_machine_is_told_to_compile_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(InstallError, match="this machine is aarch64"):
        install.install(Lock.read(), tmp_path)


def test_the_lock_pins_compiler_16_and_a_broken_lock_is_refused(tmp_path: Path) -> None:
    lock = Lock.read()
    assert lock.version.startswith("16.0") and lock.url.startswith("https://") and lock.machine == "x86_64"
    broken = tmp_path / "compiler.lock"
    whole = install.LOCK.read_text()
    for text, says in [
        (None, "cannot be read (No such file"),
        ("", "version is missing"),
        (whole.replace('version = "', 'version = 1 # "'), "version must be a text, not 1"),
        (whole + "new = 1", "new is unknown"),
        (whole.replace('sha256 = "', 'sha256 = "zz'), "sha256 must be 64"),
        (whole.replace('url = "', 'url = "ftp:'), "url must be a web address"),
        ("version", "not TOML"),
    ]:
        if text is not None:
            broken.write_text(text)
        with pytest.raises(InstallError, match="restore it") as error:
            Lock.read(broken)
        assert str(error.value).startswith(f"{broken}: {says}") and "\n" not in str(error.value)
    assert replace(lock, version="x").version == "x"


def test_a_real_bundled_loader_runs_a_program_with_its_own_c_library(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text(f'#include <stdio.h>\nint main() {{ puts("Edge TPU Compiler version {VERSION}"); }}\n')
    built = tmp_path / "built"
    subprocess.run(["gcc", "-o", built, source], check=True)
    needed = subprocess.run(["ldd", built], capture_output=True, text=True, check=True).stdout
    libc = Path(re.findall(r"libc\.so\.6 => (\S+)", needed)[0])
    loader = Path(re.findall(r"^\s*(/\S+/ld-linux\S+)", needed, re.M)[0])
    folder = "usr/bin/edgetpu_compiler_bin/"
    content = archive(
        extra={
            folder + "edgetpu_compiler": built.read_bytes(),
            folder + "ld-linux-x86-64.so.2": loader.read_bytes(),
            folder + "libc.so.6": libc.read_bytes(),
        }
    )
    with server(Served(content)) as url:
        command = install.install(lock_for(content, url), tmp_path / "cache")
    assert compiler.Compiler(command).version() == VERSION
