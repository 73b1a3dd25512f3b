"""Stages of a build: each shown while it runs, and kept under the hash of what it was made from and by."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from convert import dependencies, subprocess_runner
from convert.cache import Cache
from convert.progress import Display


@dataclass(frozen=True)
class Stages:
    """Runs stages: shows them, keeps their results, and knows where a stage in its own process may chatter.

    >>> import tempfile
    >>> from rich.console import Console
    >>> stages = Stages(Cache(Path(tempfile.mkdtemp())), Display(Console(quiet=True)))
    >>> made = stages.run("greet", ["convert.errors"], {"name": "you"}, lambda out: (out / "text").write_text("hello"))
    >>> (made / "text").read_text()
    'hello'
    """

    cache: Cache
    display: Display
    root: Path = dependencies.ROOT  # of the sources that stages are made of

    def run(self, name: str, modules: list[str], inputs: Mapping[str, object], make: Callable[[Path], object]) -> Path:
        """The directory that `make` filled, now or earlier, from these inputs.

        `modules` are the dotted names of what does the work; all that they import counts too, C sources and versions
        of libraries among them.
        """
        code = [(str(path.relative_to(self.root)), path) for path in dependencies.sources(*modules, root=self.root)]
        libraries = json.dumps(dependencies.libraries(*modules, root=self.root))
        keyed = {**inputs, "code": code, "libraries": libraries}
        with self.display.stage(name) as note:
            note("unchanged" if self.cache.has(name, keyed) else "")
            return self.cache.get(name, keyed, make, lambda: _waiting(name))

    def run_in_subprocess(self, name: str, function: str, *arguments: str | Path) -> None:
        """Runs `function` ("module:name") in a process of its own, its words in the cache's logs/NAME.log."""
        logs = self.cache.root / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        subprocess_runner.run(function, *arguments, log=logs / f"{name}.log")


def _waiting(name: str) -> None:
    print(f"build: another build is making {name}; waiting for it", file=sys.stderr, flush=True)
