"""What every test starts from."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from needs import SHARED_FOLDER

ROOT = Path(__file__).parents[1]

pytest_plugins = ["sound_card"]

# flashlight-text has no release for Python 3.13.
collect_ignore = ["device/asr/test_search_flashlight.py"] if sys.version_info >= (3, 13) else []

# A shell starts background jobs with SIGINT ignored, and what they start inherits that: Ctrl-C tests would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# What the user of this machine has taught and configured is nothing to the tests.
NOBODY = tempfile.mkdtemp(prefix="dictate-tests-home-")
atexit.register(shutil.rmtree, NOBODY, ignore_errors=True)
os.environ |= {"XDG_DATA_HOME": f"{NOBODY}/data", "XDG_CONFIG_HOME": f"{NOBODY}/config"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what compares with reference material, where there is none: a user has no ../shared."""
    if not SHARED_FOLDER.is_dir():
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("shared")])
        items[:] = [item for item in items if not item.get_closest_marker("shared")]


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The base model's bundle, built by the real command; seconds where nothing has changed since the last build."""
    return built("base")


@pytest.fixture(scope="session")
def second_bundle() -> Path:
    """The second recogniser's bundle, built likewise."""
    return built("moonshine-tiny")


def built(name: str) -> Path:
    folder = ROOT / "models" / "build" / name
    answer = subprocess.run(
        [sys.executable, "convert/build.py", "--model", name, "--out", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert answer.returncode == 0, answer.stderr
    return folder
