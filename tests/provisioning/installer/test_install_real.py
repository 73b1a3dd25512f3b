"""`provisioning/install` on a real Debian of each supported release: a tree made by mmdebstrap, entered by chroot(8).

The trees have this machine's architecture: nothing is emulated, and the Coral's driver, an arm64 package, is left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from needs import Need, skip

from provisioning.image import recipe, rootfs
from provisioning.image.recipe import Recipe
from provisioning.installer import manifest

pytestmark = pytest.mark.image

ROOT = Path(__file__).parents[3]
SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav")
INCLUDED = "python3,systemd,ca-certificates,passwd"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
CHANGES_BY_ITSELF = ("proc", "dev", "run", "tmp", "src", "root", "var/lib/dpkg", "var/lib/apt", "var/cache", "var/log",
                     "var/lib/systemd", "etc/ld.so.cache", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow",
                     "etc/subuid", "etc/subgid", "etc/.pwd.lock", "etc/mailcap", "usr/sbin/policy-rc.d")  # fmt: skip
"""What apt, users and the test itself leave behind; compared otherwise or not at all."""


@dataclass(frozen=True)
class Machine:
    """A Debian in a folder, with this repository in /src."""

    root: Path

    def run(self, *command: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.words(*command), capture_output=True, text=True, timeout=timeout,
                              env=self.environment(), stdin=subprocess.DEVNULL)  # fmt: skip

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run("/src/provisioning/install", "--yes", *options)

    def words(self, *command: str) -> list[str]:
        return ["chroot", str(self.root), *command]

    @staticmethod
    def environment() -> dict[str, str]:
        passed = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        return {**passed, "PATH": path, "HOME": "/root", "LC_ALL": "C", "PIP_CERT": f"/{CERTIFICATES}"}

    def picture(self) -> dict[str, str]:
        """What every file and link is, but for what changes by itself."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            below = Path(folder).relative_to(self.root)
            folders[:] = [name for name in folders if not changes_by_itself(below / name)]
            links = (name for name in folders if Path(folder, name).is_symlink())
            for name in (*files, *links):
                path = Path(folder, name)
                if path.is_symlink():
                    found[str(below / name)] = f"-> {path.readlink()}"
                elif path.is_file() and not changes_by_itself(below / name):
                    found[str(below / name)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def changes_by_itself(path: Path) -> bool:
    return path.name == "__pycache__" or str(path).rstrip("-").startswith(CHANGES_BY_ITSELF)


def archive(suite: str) -> Path:
    """The bare system as a tarball, from the cache or by mmdebstrap."""
    sources = recipe.sources(replace(Recipe.read(), suite=suite, components=("main",)))
    key = hashlib.sha256("\n".join([INCLUDED, *sources]).encode()).hexdigest()[:12]
    kept = rootfs.cache_directory() / f"host-{suite}-{key}.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{kept.stem}.new.tar")
        options = ["--quiet", "--variant=apt", f"--include={INCLUDED}"]
        subprocess.run(["mmdebstrap", *options, suite, str(beside), *sources], check=True, timeout=1_200)
        beside.replace(kept)
    return kept


@pytest.fixture(params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, bundle: Path) -> Iterator[Machine]:
    if os.geteuid():
        skip(Need.KERNEL, "root, for chroot and mmdebstrap")
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", archive(request.param), "-C", root], check=True)
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copyfile(Path("/") / CERTIFICATES, root / CERTIFICATES)
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # packages start no service
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (root / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / "src" / name)
    shutil.copytree(bundle, root / "src/models/build/base")
    if subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], capture_output=True).returncode:
        skip(Need.KERNEL, "the right to mount proc")
    try:
        yield Machine(root)
    finally:
        subprocess.run(["umount", "--lazy", root / "proc"], check=True)
        shutil.rmtree(root)


def test_a_debian_becomes_an_appliance_and_itself_again(machine: Machine) -> None:
    before = machine.picture()
    refuses_what_it_cannot_do(machine)
    assert machine.picture() == before

    for last_words in ("packages of the system", "packages of device", "application"):
        is_killed_after(machine, last_words)
    done = machine.install("--without-coral")
    assert done.returncode == 0, done.stderr
    hears(machine)

    once, noted = machine.picture(), manifest.read(machine.root)
    again = machine.install("--without-coral")
    assert again.returncode == 0, again.stderr
    assert "packages   none" in again.stdout
    assert machine.picture() == once and manifest.read(machine.root) == noted

    gone = machine.install("--uninstall", "--purge")
    assert gone.returncode == 0, gone.stderr
    assert machine.picture() == before
    assert "dictate" not in (machine.root / "etc/passwd").read_text()


def refuses_what_it_cannot_do(machine: Machine) -> None:
    for options, word in ((["--bundle", "/nowhere"], "make demo"), (["--uninstall"], "nothing is installed")):
        done = machine.install("--without-coral", *options)
        assert done.returncode == 1 and word in done.stderr and done.stderr.count("\n") == 1, done.stderr
    release = machine.root / "etc/os-release"
    link = release.readlink()
    release.unlink()
    release.write_text("ID=fedora\nPRETTY_NAME=Fedora\n")
    assert "neither Debian nor" in machine.install("--without-coral").stderr
    release.unlink()
    release.symlink_to(link)


def is_killed_after(machine: Machine, last_words: str) -> None:
    """An installation, with all that it has started, dies as it says these words, as by a power cut."""
    command = machine.words("/src/provisioning/install", "--yes", "--without-coral")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=machine.environment(),
                          start_new_session=True) as running:  # fmt: skip
        assert running.stdout
        said = any(line.startswith(f"  {last_words}") for line in running.stdout)
        os.killpg(running.pid, signal.SIGKILL)
    assert said, f"never said: {last_words}"
    assert not (machine.root / "usr/bin/dictate").exists()


def hears(machine: Machine) -> None:
    shutil.copyfile(SPEECH, machine.root / "tmp/speech.wav")
    heard = machine.run("dictate", "transcribe", "/tmp/speech.wav")
    assert heard.returncode == 0, heard.stderr
    assert "amiable" in heard.stdout
