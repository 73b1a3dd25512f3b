"""The recipe of the bare root file system (rootfs.toml) and where apt finds its packages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError

FILE = Path(__file__).with_name("rootfs.toml")
OS_RELEASE = Path("/etc/os-release")
APT = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class Recipe:
    """rootfs.toml; its comments say what each part is for."""

    suite: str
    components: tuple[str, ...]
    epoch: int
    packages: tuple[str, ...]
    unwanted: tuple[str, ...]
    path_exclude: tuple[str, ...]
    path_include: tuple[str, ...]
    remove: tuple[str, ...]
    files: Mapping[str, str]
    firmware: Mapping[str, str]
    modules: Mapping[str, list[str]]
    initrd: tuple[str, ...]

    @classmethod
    def read(cls, file: Path = FILE) -> Recipe:
        """Read the recipe.

        >>> "python3" in Recipe.read().packages
        True
        """
        table: dict[str, Any] = tomllib.loads(file.read_text())
        table["initrd"] = table["initrd"]["modules"]
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return cls(**values)


def sources(recipe: Recipe, apt: Path = APT, os_release: Path = OS_RELEASE) -> list[str]:
    """One line of sources.list(5) for each of the recipe's suites, from the archives that this machine's apt uses.

    Raises UserError where it uses none of Debian's.
    """
    here = _codename(os_release)
    found = {}
    for uri, suite in _archives(apt):
        base, dash, kind = suite.partition("-")
        if base == here and kind in ("", "updates", "security"):
            wanted = recipe.suite + dash + kind
            found[wanted] = f"deb {uri} {wanted} {' '.join(recipe.components)}"
    if recipe.suite not in found:
        raise UserError(f"apt has no source of Debian {here or 'here'} in {apt}; build on Debian, or add one")
    return [found[suite] for suite in sorted(found)]


def _codename(os_release: Path) -> str:
    lines = os_release.read_text().splitlines() if os_release.exists() else []
    fields = dict(line.partition("=")[::2] for line in lines)
    return fields.get("VERSION_CODENAME", "").strip('"')


def _archives(apt: Path) -> Iterator[tuple[str, str]]:
    """Address and suite of every binary source, in both of apt's formats."""
    for file in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else ():
            words = line.split("#")[0].split()
            if words[:1] == ["deb"]:
                words = words[1:] if not words[1].startswith("[") else words[_end_of_options(words) :]
                yield words[0], words[1]
    for file in sorted(apt.glob("sources.list.d/*.sources")):
        for paragraph in file.read_text().split("\n\n"):
            lines = [line for line in paragraph.splitlines() if ": " in line and not line.startswith("#")]
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
                yield from ((uri, suite) for uri in fields["uris"].split() for suite in fields["suites"].split())


def _end_of_options(words: list[str]) -> int:
    return next(index for index, word in enumerate(words) if word.endswith("]")) + 1
