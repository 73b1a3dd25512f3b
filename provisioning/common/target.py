"""The kinds of machine that a release can be made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = REPOSITORY / "provisioning" / "lock"
PYTHONS = ("cp311", "cp313")
GLIBC = {"cp311": 36, "cp313": 41}
"""Minor version of the C library on Debian 12 and 13, which have these Pythons (packages.debian.org/libc6)."""
OLDEST_GLIBC = 17


@dataclass(frozen=True, slots=True)
class Target:
    """A CPython and a machine, in the words of a wheel's tags (PyPA, platform compatibility tags).

    >>> Target("cp311").version, Target("cp311").lock.name
    ('3.11', 'device-py311.txt')
    >>> Target("cp311").platforms[0], Target("cp311").platforms[-1]
    ('manylinux_2_36_aarch64', 'manylinux_2_17_aarch64')
    """

    python: str
    machine: str = "aarch64"

    def __post_init__(self) -> None:
        if self.python not in PYTHONS:
            raise UserError(f"no release is made for Python {self.python}; there are locks for {', '.join(PYTHONS)}")

    @property
    def version(self) -> str:
        """The Python version with its point."""
        return f"{self.python[2]}.{self.python[3:]}"

    @property
    def lock(self) -> Path:
        """The file of pinned wheels."""
        return LOCKS / f"device-py{self.python[2:]}.txt"

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags that this machine takes, best first."""
        minors = range(GLIBC[self.python], OLDEST_GLIBC - 1, -1)
        return (*(f"manylinux_2_{minor}_{self.machine}" for minor in minors[:-1]), f"manylinux2014_{self.machine}",
                f"manylinux_2_{OLDEST_GLIBC}_{self.machine}")  # fmt: skip
