"""What a module's result depends on: its own source, everything of this repository that it imports, and libraries.

The build cache (cache.py) keys each stage by this, so that a stage runs again exactly when something that it is made of
has changed. Imports are read from the source, those inside functions too; a module that is only named in a string, as
one that is run in a child process, has to be passed by name.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("csrc/*.[ch]", "*.lock")
"""Files of a package that its modules are compiled from or read, as patterns below its folder."""
OURS = frozenset({"coral-dictation"})
"""What this project is called where it is installed."""


def sources(*modules: str, root: Path = ROOT) -> list[Path]:
    """The files that the dotted `modules` below `root` depend on, sorted: modules, their packages, C sources, locks.

    Raises ModuleNotFoundError for a module that is not there.

    >>> [path.name for path in sources("convert.errors")]
    ['__init__.py', 'errors.py', '__init__.py', 'errors.py']
    """
    found: set[Path] = set()
    waiting = list(modules)
    for name in modules:
        if _file(name, root) is None:
            raise ModuleNotFoundError(f"{root}: no module {name}", name=name)
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if path is None or path in found:
            continue
        found.add(path)
        found.update(beside for pattern in BESIDE for beside in path.parent.glob(pattern))
        waiting += _imports(path)
        if package := name.rpartition(".")[0]:
            waiting.append(package)
    return sorted(found)


def libraries(*modules: str, root: Path = ROOT) -> Mapping[str, str]:
    """Distribution -> version of every installed library that `modules` import, directly or through this repository."""
    imported = {name.partition(".")[0] for path in sources(*modules, root=root) for name in _imports(path)}
    tops = {top for top in imported if _file(top, root) is None}
    owners = _distributions()
    return {owner: importlib.metadata.version(owner) for top in sorted(tops) for owner in sorted(owners.get(top, ()))}


@functools.cache
def _distributions() -> Mapping[str, frozenset[str]]:
    return {top: frozenset(owners) for top, owners in importlib.metadata.packages_distributions().items()}


def _file(module: str, root: Path) -> Path | None:
    """The source of a dotted module below `root`; None where it is not of this repository.

    Installed, this project lies among its libraries.
    """
    if not _distributions().get(module.partition(".")[0], OURS) <= OURS:
        return None
    place = root.joinpath(*module.split("."))
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    """Dotted names that a source file imports; `from a import b` gives a and a.b, of which one may be no module."""
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
