"""Why a test is skipped: always something that no package could bring, in words by which continuous integration knows.

Programs and Python packages are not among it; `make setup` installs what provisioning/packages.toml and the lock name,
and a test that misses one fails.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import NoReturn

import pytest

SHARED_FOLDER = Path(__file__).resolve().parents[3] / "shared"


class Need(Enum):
    """What a machine may lack. The value is how the reason of a skip begins."""

    KERNEL = "needs the kernel"
    """A module, a file system, a device node, or the right to use them."""
    HARDWARE = "needs the hardware"
    """A disk, a processor, or more speed."""
    SHARED = "needs ../shared"
    """Reference material that is no part of the repository."""
    EARLIER = "needs the step before"
    """A test of a sequence in which another failed, or for which no time is left."""


def skip(need: Need, what: str) -> NoReturn:
    """Skip the running test, for want of `what`."""
    pytest.skip(f"{need.value}: {what}")


def unless(there: object, need: Need, what: str) -> pytest.MarkDecorator:
    """A mark that skips a test, or with `pytestmark` a module, for want of `what`."""
    return pytest.mark.skipif(not there, reason=f"{need.value}: {what}")
