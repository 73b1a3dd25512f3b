"""Sources are read from clones at a commit, file formats become paragraphs."""

import io
import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from models import manifest
from models.training.language_model import corpus

IDENTIFIERS = {path.stem for path in (manifest.ROOT / "LICENSES").iterdir()} | {"LicenseRef-public-domain"}
SOURCE = corpus.Source(
    "it", "some/where", "", ("*.txt",), ("*/skip*",), "plain", "books", "CC0", "CC0-1.0", "", "", "", 0
)


def clone(mirror: Path) -> str:
    home = mirror / "some+where" / "repo"
    home.mkdir(parents=True)
    git = ["git", "-C", str(home), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(home)], check=True)
    (home / "b.txt").write_text("two")
    (home / "a b.txt").write_text("one")
    (home / "deep").mkdir()
    (home / "deep" / "skip.txt").write_text("no")
    (home / "deep" / "big.txt").write_bytes(b"x" * (corpus.LARGEST_FILE + 1))
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "all"], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_reads_the_named_files_at_the_commit(tmp_path: Path) -> None:
    source = replace(SOURCE, commit=clone(tmp_path))
    (tmp_path / "some+where" / "repo" / "b.txt").write_text("changed since")
    assert list(corpus.read_files(source, tmp_path)) == [("a b.txt", b"one"), ("b.txt", b"two")]


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusError, match=r"git clone https://github\.com/some/where"):
        list(corpus.read_files(SOURCE, tmp_path))
    clone(tmp_path)
    with pytest.raises(corpus.CorpusError, match="no commit 0123"):
        list(corpus.read_files(replace(SOURCE, commit="0123"), tmp_path))
    with pytest.raises(corpus.CorpusError, match=r"none of \*\.md"):
        list(corpus.read_files(replace(SOURCE, commit="HEAD", paths=("*.md",)), tmp_path))


def archive(member: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr(member, text)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("form", "content", "found"),
    [
        ("plain", b"*** START OF X ***\n\nOne\nline.\n\nTwo.\n\n*** END OF X ***\nlicence", ["One line.", "Two."]),
        ("lines", b"one\ntwo\n", ["one", "two"]),
        ("markdown", b"---\nt: x\n---\n# No\n\nA [link](u)\n\n```\ncode\n```\n\n- item\n", ["A link", "item"]),
        ("xml:p", b"<d><head>no</head><p>One <b>two</b><note>no</note></p><p/></d>", ["One two"]),
        ("json:text", json.dumps([{"text": "a", "x": {"text": "b", "id": "c"}}]).encode(), ["a", "b"]),
        ("json:text", b'{"text": "a"}\n{"text": "b"}\n', ["a", "b"]),
        ("column:tab,1", b'x\t"quoted\ny\tplain\n', ['"quoted', "plain"]),
        ("column:semicolon,say", b'id;say\n1;"a; b"\n', ["a; b"]),
        ("zip:in.txt:column:tab,0", archive("in.txt", "Go.\tVa !\n"), ["Go."]),
        ("turns", b"[00:00:01]\nCC: Roger,\n   go.\n\nCDR: [glossary:TLI] is good.", ["Roger, go.", "TLI is good."]),
    ],
)
def test_formats(form: str, content: bytes, found: list[str]) -> None:
    assert [p for p in corpus.paragraphs(form, content) if p] == found


def test_every_source_is_recorded_whole() -> None:
    sources = corpus.load_sources()
    assert len({s.name for s in sources}) == len(sources)
    for source in sources:
        assert len(source.commit) == 40 and len(source.sha256) == 64 and source.words > 0, source.name
        assert source.licence and source.group in ("books", "prose", "speeches", "talk"), source.name
        assert source.spdx and set(source.spdx.split(" AND ")) <= IDENTIFIERS, source.name
        assert "ljspeech" not in source.repository.lower() and "common-voice" not in source.repository.lower()


def test_the_language_model_is_under_the_licences_of_its_texts() -> None:
    texts = {spdx for source in corpus.load_sources() for spdx in source.spdx.split(" AND ")}
    wordfreq = {"CC-BY-SA-4.0"}
    said = manifest.load("base").licences["language"].spdx.split(" AND ")
    assert {*said} == (texts | wordfreq) - {"LicenseRef-public-domain"}
    assert len(said) == len({*said})
