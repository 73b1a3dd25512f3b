"""`dictate format`: words in, what would be typed out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from device import cli


@pytest.fixture
def words(tmp_path: Path) -> str:
    file = tmp_path / "words.tsv"
    file.write_text("PyTorch\tpie torch\nNew York\n")
    return f"vocabulary.file={file}"


def test_words_on_the_command_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["format", "--set", words, "we need three to four hundred dollars in new york"]) == 0
    assert cli.main(["format", "--set", words, "at", "five", "p", "m"]) == 0
    assert cli.main(["format", "--set", words, "--set", "text.english=uk", "at five p m"]) == 0
    expected = "We need three to four hundred dollars in New York\nAt 5 p.m.\nAt 5 pm\n"
    assert capsys.readouterr().out == expected


def test_lines_on_standard_input_with_pauses(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes | scratch that | no\ni had a scratch that would not heal\n\nhi"))
    assert cli.main(["format", "--set", words]) == 0
    assert capsys.readouterr().out == "No\nI had a scratch that would not heal\n\nHi\n"


def test_a_wrong_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["format", "--set", "text.english=fr", "x"]) != 0
    assert capsys.readouterr().err.startswith("dictate")


def test_a_bad_line_among_the_words_costs_only_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("!!\nNew York\n")
    assert cli.main(["format", "--set", f"vocabulary.file={file}", "new york"]) == 1
    said = capsys.readouterr()
    assert said.out == "New York\n" and "words.tsv:1: '!!'" in said.err
