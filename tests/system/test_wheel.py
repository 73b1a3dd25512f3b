"""The project installed as a package, away from its checkout: the bundle is put together at its first use.

The libraries are those of the tests' own environment, so that nothing has to be downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from device.bench.speech import TESTDATA

ROOT = Path(__file__).parents[2]
CLIP = TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav"
SAID = "He might even have been made amiable himself."


@pytest.fixture(scope="module")
def dictate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a wheel that was built from a copy of this checkout and installed into a new environment."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("convert", "device", "models", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        source, target = ROOT / name, folder / "source" / name
        if source.is_file():
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
        else:
            leave = shutil.ignore_patterns(
                "__pycache__", "build", "training", "*.so", "encoder.onnx", "calibration.npz"
            )
            shutil.copytree(source, target, ignore=leave)
    listed = Path("models", "training", "language_model", "sources.toml")
    (folder / "source" / listed).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / listed, folder / "source" / listed)
    build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--offline"]
    command = [*build, f"--python={sys.executable}", f"--out-dir={folder}", folder / "source"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", f"--python={python}"]
    subprocess.run([*install, wheel], check=True, capture_output=True, cwd=folder)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return python.with_name("dictate")


def test_an_installed_package_puts_its_bundle_together_once(dictate: Path, tmp_path: Path) -> None:
    ours = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environ = {name: value for name, value in os.environ.items() if name not in ("DICTATE_BUNDLE", "PYTHONPATH")} | ours

    def transcribe() -> subprocess.CompletedProcess[str]:
        command = [dictate, "transcribe", CLIP]
        return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=300)

    first = transcribe()
    assert (first.returncode, first.stdout) == (0, f"{SAID}\n"), first.stderr
    bundle = tmp_path / "data" / "coral-dictation" / "bundle"
    assert f"first use: putting the model together in {bundle}" in first.stderr
    second = transcribe()
    assert (second.returncode, second.stdout, second.stderr) == (0, f"{SAID}\n", "")
    (bundle.parent / "bundle.made-from").write_text("another version of the package")
    with ThreadPoolExecutor() as pool:
        both = [run.result() for run in [pool.submit(transcribe) for _ in range(2)]]
    assert [run.stdout for run in both] == [f"{SAID}\n"] * 2, both
    assert sum("first use" in run.stderr for run in both) == 1, both
    assert not any(path.name.startswith(".bundle") for path in bundle.parent.iterdir())
