"""Debian packages: which are there, adding those that are missing, taking away those that were added.

Everything takes the root, so that it works on a tree that is not running; apt then runs by chroot(8).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from models.errors import UserError
from provisioning.common import process

HERE = Path("/")
INSTALL = ("apt-get", "install", "-q", "-y", "--no-install-recommends", "--fix-broken")


def installed(root: Path = HERE) -> frozenset[str]:
    """The names of all packages that are installed. Raises UserError."""
    status = _run(root, "dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")
    return frozenset(line.split()[-1] for line in status.splitlines() if line.startswith(("ii", "hi")))


def coming(root: Path, wanted: Sequence[str]) -> frozenset[str]:
    """All packages that would come with what is missing of `wanted`. Raises UserError."""
    _run(root, "dpkg", "--configure", "-a")  # an earlier try may have been cut short
    if set(wanted) <= installed(root):
        return frozenset()
    _run(root, "apt-get", "update", "-q")
    trial = _run(root, *INSTALL, "--simulate", *wanted)
    named = {line.split()[1].partition(":")[0] for line in trial.splitlines() if line.startswith("Inst ")}
    return frozenset(named - installed(root))


def add(root: Path, wanted: Sequence[str]) -> None:
    """Install what is missing of `wanted`, from the lists that `coming` brought. Raises UserError."""
    missing = sorted(set(wanted) - installed(root))
    if missing:
        _run(root, *INSTALL, *missing)


def remove(root: Path, added: Iterable[str]) -> frozenset[str]:
    """Take away those of `added` that nothing else needs by now; returns the ones that stay. Raises UserError."""
    there = installed(root)
    going = sorted(set(added) & there)
    if not going:
        return frozenset()
    trial = _run(root, "apt-get", "remove", "--simulate", "-q", *going)
    along = {line.split()[1].partition(":")[0] for line in trial.splitlines() if line.startswith("Remv ")}
    if along - set(going):
        return frozenset(going)
    _run(root, "apt-get", "purge", "-q", "-y", *going)
    return frozenset(going) & installed(root)


def _run(root: Path, *command: str) -> str:
    words = list(command) if root == HERE else ["chroot", str(root), *command]
    done = process.attempt(*words, environment={"DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode:
        raise UserError(f"{' '.join(command[:2])} failed: {process.error_summary(done.stderr or done.stdout)}")
    return done.stdout
