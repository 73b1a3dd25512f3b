"""The text behind the language model: where it comes from, and how each kind of file becomes paragraphs.

`sources.toml` names every source (repository at a commit, paths, format, licence, SHA-256). Repositories are read as
bare or ordinary git clones under one folder, `OWNER+NAME/repo`, so that nothing is downloaded behind one's back:

    git clone https://github.com/OWNER/NAME MIRROR/OWNER+NAME/repo
"""

import csv
import fnmatch
import hashlib
import html
import io
import json
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).with_name("sources.toml")
LARGEST_FILE = 4 << 20  # bytes; snapshots often lack larger blobs, so none is used and the hash is the same everywhere


class CorpusError(Exception):
    """A source is missing or is not what sources.toml says."""


@dataclass(frozen=True)
class Source:
    """One repository's part in the training text."""

    name: str
    repository: str  # OWNER/NAME
    commit: str
    paths: tuple[str, ...]  # shell patterns, "*" crosses "/"
    exclude: tuple[str, ...]
    format: str  # a key of FORMATS, with ":" and its argument where it takes one
    group: str  # "books", "prose" or "talk": each has a model of its own
    licence: str
    spdx: str  # the same as an SPDX expression; LicenseRef-public-domain for what has no copyright any more
    original: str  # the work, where the repository only holds a copy of it
    note: str
    sha256: str  # of the used files, in path order
    words: int  # after normalisation

    @classmethod
    def parse(cls, table: dict[str, Any]) -> "Source":
        return cls(
            name=table["name"],
            repository=table["repository"],
            commit=table["commit"],
            paths=tuple(table["paths"]),
            exclude=tuple(table.get("exclude", ())),
            format=table["format"],
            group=table["group"],
            licence=table["licence"],
            spdx=table["spdx"],
            original=table.get("original", ""),
            note=table.get("note", ""),
            sha256=table.get("sha256", ""),
            words=table.get("words", 0),
        )

    def git(self, mirror: Path) -> Path:
        """The git directory of this source under `mirror`; CorpusError names the command that makes it."""
        home = mirror / self.repository.replace("/", "+") / "repo"
        for path in (home / ".git", home):
            if (path / "HEAD").is_file():
                return path
        raise CorpusError(f"{self.name}: {home} is missing; git clone https://github.com/{self.repository} {home}")


def load_sources(path: Path = SOURCES) -> list[Source]:
    """Read sources.toml."""
    with path.open("rb") as file:
        return [Source.parse(table) for table in tomllib.load(file)["source"]]


def read_files(source: Source, mirror: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of a source's files in path order, leaving out those above LARGEST_FILE."""
    git = ["git", f"--git-dir={source.git(mirror)}"]
    listing = subprocess.run([*git, "ls-tree", "-r", "-l", "-z", source.commit], capture_output=True, check=False)
    if listing.returncode:
        raise CorpusError(f"{source.name}: no commit {source.commit} in {source.git(mirror)}; fetch it")
    wanted: list[tuple[str, str]] = []
    for row in listing.stdout.decode(errors="replace").split("\0"):
        head, _, path = row.partition("\t")
        if not path or not any(fnmatch.fnmatchcase(path, p) for p in source.paths):
            continue
        _, kind, blob, size = head.split()
        if (
            kind == "blob"
            and size.isdigit()
            and int(size) <= LARGEST_FILE
            and not any(fnmatch.fnmatchcase(path, p) for p in source.exclude)
        ):
            wanted.append((path, blob))
    if not wanted:
        raise CorpusError(f"{source.name}: none of {', '.join(source.paths)} at {source.commit}")
    with subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for path, blob in sorted(wanted):
            process.stdin.write(blob.encode() + b"\n")
            process.stdin.flush()
            header = process.stdout.readline().split()
            if len(header) != 3:
                raise CorpusError(f"{source.name}: {path} is not in the clone; fetch it whole")
            content = process.stdout.read(int(header[2]))
            process.stdout.read(1)
            yield path, content


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


_GUTENBERG = re.compile(
    r"\*\*\*\s?START OF.{0,200}?\*\*\*(.*?)(?:\*\*\*\s?END OF|End of (?:the |this )?Project Gutenberg)", re.DOTALL
)


def plain(content: bytes, _: str) -> Iterator[str]:
    """Paragraphs between blank lines; Project Gutenberg's own header and licence are left out."""
    text = _decode(content).replace("\r", "")
    if match := _GUTENBERG.search(text):
        text = match.group(1)
    for paragraph in re.split(r"\n\s*\n", text):
        yield " ".join(paragraph.split())


def lines(content: bytes, _: str) -> Iterator[str]:
    """One paragraph a line."""
    yield from _decode(content).splitlines()


def markdown(content: bytes, _: str) -> Iterator[str]:
    """Running text of Markdown: no front matter, code, tables, headings, pictures or link targets."""
    text = re.sub(r"\A---\n.*?\n---\n", "", _decode(content).replace("\r", ""), flags=re.DOTALL)
    text = re.sub(r"```.*?```|\{[%{].*?[%}]\}|<!--.*?-->", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    for paragraph in re.split(r"\n\s*\n|\n(?=[*+-] )", text):
        if not re.match(r"\s*(#|\||    \S|[=-]{3})", paragraph):
            yield " ".join(re.sub(r"^\s*([*+>-]|\d+\.)\s", "", paragraph).split())


def xml(content: bytes, tags: str) -> Iterator[str]:
    """The text of the elements named in `tags` ("p,para"), without notes and mathematics."""
    text = re.sub(r"<(note|m:math|math|figure|table)\b.*?</\1>", " ", _decode(content), flags=re.DOTALL)
    names = "|".join(tags.split(","))
    for match in re.finditer(rf"<({names})(?:\s[^>]*)?(?<!/)>(.*?)</\1>", text, flags=re.DOTALL):
        yield " ".join(html.unescape(re.sub(r"<[^>]+>", "", match.group(2))).split())


def _strings(value: Any, keys: set[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                if key in keys:
                    yield item
            else:
                yield from _strings(item, keys)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, keys)


def json_strings(content: bytes, keys: str) -> Iterator[str]:
    """Every string under one of the keys ("text,utterance"), anywhere in a JSON document or in JSON lines."""
    text = _decode(content)
    try:
        documents = [json.loads(text)]
    except json.JSONDecodeError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    for document in documents:
        yield from _strings(document, set(keys.split(",")))


def snips(content: bytes, _: str) -> Iterator[str]:
    """snipsco/nlu-benchmark: a query is a list of pieces."""
    for queries in json.loads(_decode(content)).values():
        for query in queries:
            yield "".join(piece["text"] for piece in query["data"])


def column(content: bytes, argument: str) -> Iterator[str]:
    """One column of a delimited file: "tab,0", "semicolon,answer"; a name means that the file has a header."""
    separator, name = argument.split(",")
    delimiter = {"tab": "\t", "semicolon": ";", "comma": ","}[separator]
    text = io.StringIO(_decode(content).replace("\0", ""))
    if separator == "tab":
        rows = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(text, delimiter=delimiter)
    index = int(name) if name.isdigit() else next(rows).index(name)
    for row in rows:
        if len(row) > index:
            yield row[index]


def zipped(content: bytes, argument: str) -> Iterator[str]:
    """A member of a zip archive, in another format: "fra.txt:column:tab,0"."""
    member, _, rest = argument.partition(":")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield from paragraphs(rest, archive.read(member))


def turns(content: bytes, _: str) -> Iterator[str]:
    """A Spacelog transcript: "CC: text", continued on indented lines, with [glossary:TERM|text] marks."""
    text = re.sub(r"\[[a-z]+:([^\]|]*\|)?([^\]]*)\]", r"\2", _decode(content))
    for turn in re.split(r"\n\s*\n", text):
        for part in re.split(r"^[A-Z0-9/ -]{1,12}:|^\[[\d: -]+\]|^_\w+.*$", turn, flags=re.MULTILINE):
            yield " ".join(part.split())


FORMATS: dict[str, Callable[[bytes, str], Iterator[str]]] = {
    "plain": plain, "lines": lines, "markdown": markdown, "xml": xml, "json": json_strings, "snips": snips,
    "column": column, "zip": zipped, "turns": turns,
}  # fmt: skip


def paragraphs(format: str, content: bytes) -> Iterator[str]:
    """Yield the paragraphs of one file in a format of FORMATS."""
    name, _, argument = format.partition(":")
    return FORMATS[name](content, argument)


def digest(files: Iterator[tuple[str, bytes]]) -> str:
    """SHA-256 over the files' bytes in path order."""
    total = hashlib.sha256()
    for _, content in files:
        total.update(content)
    return total.hexdigest()
