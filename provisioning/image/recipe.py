"""The recipe of the bare root file system (rootfs.toml) and where apt finds its packages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UserError

FILE = Path(__file__).with_name("rootfs.toml")
OS_RELEASE = Path("/etc/os-release")
APT = Path("/etc/apt")
LISTS = Path("/var/lib/apt/lists")


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


@dataclass(frozen=True, slots=True)
class Source:
    """An archive that apt uses: address, suite, components, and the keyring that it is signed by, if one is named."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str = ""

    def rank(self, lists: Path) -> int:
        """How surely this is Debian's own archive; 0 where it is another's, whose suites may have the same names.

        The archive itself says so in its Release file, which apt keeps in `lists`; its keyring says the next best.
        """
        address = re.sub(r"^[a-z+]+:/*", "", self.uri).strip("/").replace("_", "%5f").replace("/", "_")
        for kind in ("InRelease", "Release"):
            file = lists / f"{address}_dists_{self.suite.replace('/', '_')}_{kind}"
            if file.exists():
                origin = re.search(r"^Origin: *(.*?) *$", file.read_text(errors="replace")[:4_096], re.M)
                return 4 if origin and origin[1] == "Debian" else 0
        if "main" not in self.components:
            return 0
        return 3 if "debian-archive" in self.keyring else 1 if self.keyring else 2


def sources(recipe: Recipe, apt: Path = APT, os_release: Path = OS_RELEASE, lists: Path = LISTS) -> list[str]:
    """One line of sources.list(5) for each of the recipe's suites, from Debian's archives that this machine's apt uses.

    Raises UserError where it uses none of Debian's.
    """
    here = _codename(os_release)
    found: dict[str, str] = {}
    ranked = ((source.rank(lists), source) for source in _archives(apt))
    for rank, source in sorted(ranked, key=lambda row: -row[0]):  # is stable: of equals the first
        base, dash, kind = source.suite.partition("-")
        if rank and base == here and kind in ("", "updates", "security"):
            wanted = recipe.suite + dash + kind
            found.setdefault(wanted, f"deb {source.uri} {wanted} {' '.join(recipe.components)}")
    if recipe.suite not in found:
        raise UserError(f"apt has no source of Debian {here or 'here'} in {apt}; build on Debian, or add one")
    return [found[suite] for suite in sorted(found)]


def _codename(os_release: Path) -> str:
    lines = os_release.read_text().splitlines() if os_release.exists() else []
    fields = dict(line.partition("=")[::2] for line in lines)
    return fields.get("VERSION_CODENAME", "").strip('"')


def _archives(apt: Path) -> Iterator[Source]:
    """Every binary source, in both of apt's formats."""
    for file in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else ():
            words = line.split("#")[0].split()
            if words[:1] == ["deb"]:
                start = 1 if not words[1].startswith("[") else _end_of_options(words)
                keyring = re.search(r"signed-by=([^\s\]]+)", " ".join(words[:start]))
                uri, suite, *components = words[start:]
                yield Source(uri, suite, tuple(components), keyring[1] if keyring else "")
    for file in sorted(apt.glob("sources.list.d/*.sources")):
        for paragraph in file.read_text().split("\n\n"):
            lines = [line for line in paragraph.splitlines() if ": " in line and not line.startswith("#")]
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
                parts = tuple(fields.get("components", "").split())
                for uri in fields["uris"].split():
                    for suite in fields["suites"].split():
                        yield Source(uri, suite, parts, fields.get("signed-by", ""))
                        yield Source(uri, suite, parts, fields.get("signed-by", ""))


def _end_of_options(words: list[str]) -> int:
    return next(index for index, word in enumerate(words) if word.endswith("]")) + 1
