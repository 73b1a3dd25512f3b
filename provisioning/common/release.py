"""Builds a release: the application, the Python packages that it needs, and the model bundles, in one folder.

release.json          what it is, and the SHA-256 of every file
site/                 packages for one CPython and one machine, with the application's LICENSE and NOTICE
bundle/               the model that recognises speech as it arrives
bundle/second-pass/   the model that writes the final text; optional
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from models import bundle as bundle_contract
from models import python
from models.bundle import BUILT_SECOND_PASS, SECOND_PASS
from models.errors import UserError
from provisioning.common import process, tree
from provisioning.common.target import REPOSITORY, Target

FILE = "release.json"
TOOLS = ("pip", "aarch64-linux-gnu-gcc")
BOARDS_ONLY = {"adafruit-lgpio"}
"""Locked packages with wheels for aarch64 alone: other machines have no pins to use them on."""
FROM_DEBIAN = {"pyaudio"}
"""Locked packages without a wheel: the system's own package, python3-pyaudio, is used."""
NOT_ON_THE_DEVICE = {
    "coloredlogs", "humanfriendly", "mpmath", "sympy",  # onnxruntime names them for its tools, not for inference
    "ml-dtypes", "tqdm",  # ai-edge-litert, the same
    "indic-numtowords", "jiwer", "more-itertools", "rapidfuzz", "regex", "text2num",  # `dictate eval`
    "whisper-normalizer", "rich", "markdown-it-py", "mdurl", "pygments",  # the same, and the demo
    "setuptools",
}  # fmt: skip
PRUNED = ("bin", "**/tests", "**/test", "**/*.pyi", "**/*.h", "**/__pycache__", "numpy/f2py", "numpy/core/include",
          "numpy/core/lib/*.a", "numpy/random/lib/*.a", "onnxruntime/transformers", "onnxruntime/tools",
          "onnxruntime/quantization", "onnxruntime/datasets", "onnxruntime/backend",
          "onnxruntime/capi/libonnxruntime.so*", "ai_edge_litert/libLiteRtWebGpuAccelerator.so")  # fmt: skip
"""What wheels bring that no running device reads, as patterns below site/."""


@dataclass(frozen=True, slots=True)
class BuiltRelease:
    """What release.json says. `id` is the same for the same content."""

    id: str
    version: str
    python: str
    machine: str
    without_coral: bool
    files: Mapping[str, str]
    """The SHA-256 of each file but release.json, by its path in the release."""


def build_release(
    destination: Path,
    target: Target,
    bundle: Path,
    *,
    second_pass: Path | None = None,
    without_coral: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> BuiltRelease:
    """Build the release `destination` (a folder that must not exist yet) from this repository and model bundles.

    Wheels come by their locked hashes through pip. Nothing is left behind unless it succeeds; UserError says why not.
    """
    if destination.exists():
        raise UserError(f"{destination} is there already; name another folder or remove it")
    check_bundle(bundle)
    if second_pass:
        check_bundle(second_pass)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as scratch:
        root = Path(scratch, "release")
        site = root / "site"
        site.mkdir(parents=True, mode=0o755)
        say(f"packages of {target.lock.name}")
        install_packages(target, site)
        say("application")
        copy_application(site)
        compile_search(target, site)
        compile_python(target, site)
        copy_bundles(root, bundle, second_pass)
        if second_pass is None:
            say("no second model: the first one's text is typed")
        _settle_modes(root)
        release = describe(root, target, without_coral)
        root.rename(destination)
    return release


def add_bundle_options(parser: argparse.ArgumentParser, default: Path | None = None) -> None:
    """Add --bundle, with this default, and --second-pass and --without-second-pass to a command line."""
    where = f" (default: {default.relative_to(REPOSITORY)})" if default else ": build the release around it"
    parser.add_argument("--bundle", type=Path, default=default, metavar="DIR", help=f"the model{where}")
    second = parser.add_mutually_exclusive_group()
    second.add_argument(
        f"--{SECOND_PASS}", type=Path, metavar="DIR", help=f"the second model (default: {BUILT_SECOND_PASS} beside it)"
    )
    second.add_argument("--without-second-pass", action="store_true", help="recognise with the first model alone")


def chosen_second_pass(given: argparse.Namespace) -> Path | None:
    """The second model that these options ask for; None where there is none, or none is wanted."""
    if given.without_second_pass:
        return None
    asked: Path | None = given.second_pass
    return asked or bundle_contract.second_pass(given.bundle)


def check_bundle(bundle: Path) -> None:
    """Raise UserError for a folder that holds no model bundle."""
    if not (bundle / "bundle.json").is_file():
        raise UserError(f"{bundle} is no model bundle: it has no bundle.json; build one with `make demo`")


def install_packages(target: Target, site: Path) -> None:
    """Install the locked wheels of `target` into `site`, less what the device does without."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(requirements(target.lock.read_text(), target.machine))
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--only-binary=:all:",
                   "--require-hashes", "--implementation=cp", f"--python-version={target.version}",
                   *(f"--platform={platform}" for platform in target.platforms),
                   *(f"--abi={abi}" for abi in (target.python, "abi3", "none"))]  # fmt: skip
        command = python.module("pip", "install", *options, f"--target={site}", f"--requirement={wanted}")
        done = process.attempt(*command, environment={"PIP_ROOT_USER_ACTION": "ignore"})
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {done.returncode}"
        if "No module named pip" in reason:
            raise UserError("pip is missing; install the package python3-pip")
        raise UserError(f"the wheels of {target.lock.name} cannot be had: {reason}; is there a network?")
    for pattern in PRUNED:
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def requirements(lock: str, machine: str = "aarch64") -> str:
    """The blocks of a lock file that a device of this kind installs.

    >>> requirements("numpy==1 \\\\\\n    --hash=sha256:a\\nsympy==1 \\\\\\n    --hash=sha256:b\\n")
    'numpy==1 \\\\\\n    --hash=sha256:a\\n'
    """
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)
    names = ((re.match(r"[A-Za-z0-9._-]+", block), block) for block in blocks)
    left_out = FROM_DEBIAN | NOT_ON_THE_DEVICE | (BOARDS_ONLY if machine != "aarch64" else set())
    return "".join(b for name, b in names if name and re.sub(r"[-_.]+", "-", name[0]).lower() not in left_out)


def copy_application(site: Path) -> None:
    """Copy the packages `device` and `models` without weights, recipes and sources to compile."""
    for package in ("device", "models"):
        for path in tree.walk(REPOSITORY / package):
            relative = path.relative_to(REPOSITORY)
            skipped = {"__pycache__", "training", "build", "csrc"} & set(relative.parts) or path.suffix == ".so"
            wanted = path.suffix == ".py" if package == "models" else path.is_file()
            if wanted and not skipped:
                (site / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, site / relative)
    for name in ("LICENSE", "NOTICE"):
        shutil.copyfile(REPOSITORY / name, site / name)


def copy_bundles(root: Path, bundle: Path, second_pass: Path | None) -> None:
    """Copy the models to where a release in `root` has them (models.bundle.second_pass finds the second)."""
    shutil.copytree(bundle, root / "bundle", ignore=lambda folder, names: {SECOND_PASS} & {*names})
    if second_pass:
        shutil.copytree(second_pass, root / "bundle" / SECOND_PASS)


def compile_search(target: Target, site: Path) -> None:
    """Compile the search's C library (device/asr/beam_search.py) into `site`, by a cross-compiler where `target`
    needs one.
    """
    native = target.machine == platform.machine()
    compiler = "cc" if native else f"{target.machine}-linux-gnu-gcc"
    sources = sorted((REPOSITORY / "device" / "asr" / "csrc").glob("*.c"))
    options = ["-std=c11", "-O3", "-shared", "-fPIC", f"-ffile-prefix-map={REPOSITORY}=."]
    command: list[str | Path] = [compiler, *options, "-o", site / "device" / "asr" / "_search.abi3.so", *sources, "-lm"]
    done = process.attempt(*command)
    if done.returncode:
        raise UserError(f"the search does not compile: {process.error_summary(done.stderr)}")


def compile_python(target: Target, site: Path) -> None:
    """Byte-compile `site` where this Python is the target's: the device's root is read-only and cannot do it later.

    The files carry no time stamp and are not checked against their sources (PEP 552), so they are the same each time.
    """
    if sys.implementation.cache_tag != f"cpython-{target.python[2:]}":
        return
    options = ["-q", "--invalidation-mode=unchecked-hash", "-s", str(site)]
    command = python.module("compileall", *options, str(site))
    subprocess.run(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "0"})


def describe(root: Path, target: Target, without_coral: bool) -> BuiltRelease:
    """Hash what is in the folder `root` and write its release.json."""
    files = tree.file_hashes(root)
    files.pop(FILE, None)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    release = BuiltRelease(identity(files), project["version"], target.python, target.machine, without_coral, files)
    (root / FILE).write_text(json.dumps(asdict(release), indent=1) + "\n")
    return release


def identity(files: Mapping[str, str]) -> str:
    """The first 12 hex digits of the SHA-256 over the sorted list of files.

    >>> identity({})
    'e3b0c44298fc'
    """
    listing = "".join(f"{files[path]}  {path}\n" for path in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()[:12]


def _settle_modes(root: Path) -> None:
    """Modes that depend on no umask: 755 for folders, 644 for files."""
    for path in (root, *tree.walk(root)):
        if path.is_symlink():
            raise UserError(f"{path.relative_to(root)} is a link; a release holds files only")
        path.chmod(0o755 if path.is_dir() else 0o644)
