"""Starts other Pythons so that they import nothing from the directory that the user happens to stand in (CWE-427).

`python -m` puts the working directory first on the module search path: whoever can create a folder `pip/` where root
later builds an image has their code run as root. Every child of this project's programs is therefore started with what
this module returns; tests/test_repository.py finds any other way.

>>> module("pip", "--version", interpreter="python3", root=True)
['python3', '-P', '-s', '-m', 'pip', '--version']
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
"""The folder that this project's packages are imported from."""


def current() -> Path:
    """The Python that runs this program."""
    return Path(sys.executable)


def module(
    name: str, *arguments: str | Path, interpreter: str | Path | None = None, root: bool | None = None
) -> list[str]:
    """The command that runs the module `name` with `arguments`, by `interpreter` or the Python that runs this.

    The working directory stays off the module search path, and for root (`root`; None asks the kernel) so does the
    user's own site-packages.
    """
    as_root = os.geteuid() == 0 if root is None else root
    options = ["-P", "-s"] if as_root else ["-P"]
    return [str(interpreter or current()), *options, "-m", name, *map(str, arguments)]


def environment(
    variables: Mapping[str, str] | None = None, path: Iterable[Path] = (REPOSITORY,), inherit: bool = True
) -> dict[str, str]:
    """The environment of such a child: this process's and `variables`, with `path` first on the module search path.

    With `inherit` the entries of PYTHONPATH follow, but for relative ones: an empty entry is the working directory.

    >>> environment({"PYTHONPATH": "/a::b:/c"}, [Path("/ours")])["PYTHONPATH"]
    '/ours:/a:/c'
    """
    found = {**os.environ, **(variables or {})}
    theirs = found.get("PYTHONPATH", "").split(os.pathsep) if inherit else []
    found["PYTHONPATH"] = os.pathsep.join([*map(str, path), *(entry for entry in theirs if Path(entry).is_absolute())])
    return found
