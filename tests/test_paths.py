"""Paths, modules and links that the documentation and the comments name: each leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [
    path for top in ("device", "convert", "models", "provisioning") for path in sorted((ROOT / top).rglob("*.py"))
]

PATH = re.compile(r"(?<![\w./-])(?:device|convert|models|provisioning|tests|docs)/(?:[\w.*/-]*[\w*])?")
MODULE = re.compile(r"(?<![\w./-])(?:device|convert|models|provisioning|tests)(?!\.(?:md|txt|toml)\b)(?:\.\w+)+")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BUILT = ("models/build", "device/asr/_search.abi3.so")
"""What is made and not tracked."""


def missing(text: str, pattern: re.Pattern[str] = PATH) -> list[str]:
    """Paths in `text` at which there is nothing."""
    named = sorted(set(pattern.findall(text)))
    return [path for path in named if not path.startswith(BUILT) and not any(ROOT.glob(path))]


def importable(dotted: str) -> bool:
    """Whether a dotted name is a module of the repository, or something that a module's text has."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if length == len(parts) and path.is_dir():
            return True
        if file.is_file():
            return all(re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")) for name in parts[length:])
    return False


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_does_not_exist_is_found() -> None:
    assert missing("`device/asr/csrc`, models/build/mine, docs/*.md; device/app/no.py.") == ["device/app/no.py"]
    assert importable("device.asr.recognizer.Recognizer") and importable("convert.edgetpu")
    assert not importable("device.recognizer") and not importable("device.asr.recognizer.Recogniser")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_the_documentation_exist(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_in_the_documentation_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [dotted for dotted in sorted(set(MODULE.findall(text))) if not importable(dotted)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        place, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_python_files_named_in_comments_exist() -> None:
    python = re.compile(PATH.pattern + r"(?<=\.py)\b")
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path in SOURCES for name in missing(path.read_text(), python)]
    assert wrong == []


def test_every_page_is_in_the_index_once() -> None:
    listed = LINK.findall((ROOT / "docs/index.md").read_text(encoding="utf-8"))
    pages = [page.name for page in PAGES if page.parent == ROOT / "docs" and page.name != "index.md"]
    assert sorted(link for link in listed if "/" not in link) == sorted(pages)
