"""The licences that a bundle carries: for each of its parts the terms, and their texts as files."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from convert.errors import SourceError
from models.bundle import LICENCES, Licence
from models.manifest import ROOT, Origin, Terms

TEXTS = ROOT / LICENCES


def gather(
    chosen: Origin, terms: Mapping[str, Terms], assets: Mapping[str, Path]
) -> tuple[dict[str, Licence], dict[str, Path]]:
    """The licences of a bundle by its part, and their texts by their path in the bundle.

    `terms` are those of parts that are not the manifest's own; where the manifest says nothing of its source, that is
    under `source.licence`, with no text. SourceError for a text that is nowhere.
    """
    source = Terms(chosen.source.licence, chosen.source.package or chosen.path.name)
    found: dict[str, Licence] = {}
    files: dict[str, Path] = {}
    for part, said in {"acoustic": source, **terms, **chosen.licences}.items():
        texts = [_text(text, said, chosen, assets) for text in said.texts]
        files |= {f"{LICENCES}/{name}": path for name, path in texts}
        found[part] = Licence(said.spdx, said.source, tuple(name for name, _ in texts))
    return found, files


def _text(text: str, said: Terms, chosen: Origin, assets: Mapping[str, Path]) -> tuple[str, Path]:
    """Name in the bundle, and file."""
    if text in assets:
        return f"{said.spdx}-{chosen.name}.txt", assets[text]
    for path in (TEXTS / text, chosen.file(text)):
        if path.is_file():
            return path.name, path
    raise SourceError(f"{chosen.path}: licences: {text} is neither an asset, nor in {TEXTS}, nor beside the manifest")


def notice() -> Path:
    """The NOTICE of this repository, or of the package that was installed from it."""
    if (here := ROOT.parent / "NOTICE").is_file():
        return here
    for file in importlib.metadata.files("coral-dictation") or ():
        if file.name == "NOTICE":
            return Path(str(file.locate()))
    raise SourceError("NOTICE: not among the package's files; install it again")
