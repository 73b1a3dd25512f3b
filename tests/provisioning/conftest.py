"""What the tests of the card and of the installer start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from provisioning.common import process


@pytest.fixture(autouse=True, scope="session")
def programs_of_the_system() -> Iterator[None]:
    """Debian's users, and root by `su`, have no /usr/sbin in PATH, where losetup, mke2fs and sfdisk are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", process.PATH)
        yield
