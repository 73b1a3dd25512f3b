"""The user's words: what is added is there, comments stay, nothing is half written."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import Need, unless

from device import cli
from device.cli import words as cli_words
from device.text.edits import Insert
from device.text.formatter import Rules, TextFormatter
from device.vocabulary import user_words
from device.vocabulary.user_words import Parsed, Pronounce, UserWord, VocabularyError, Watched

ROOT = Path(__file__).parents[3]
WRITTEN = st.text(min_size=1, max_size=12)


def letters(word: str) -> list[str]:
    if not word.isalpha():
        raise ValueError(f"cannot read {word!r}")
    return list(word)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(WRITTEN, st.text("abc '", max_size=8)), max_size=5))
def test_what_is_added_is_there_and_what_is_removed_is_not(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("words") / "words.tsv"
    expected: list[UserWord] = []
    for written, sounds_like in wanted:
        try:
            new = user_words.word(written, sounds_like)
        except VocabularyError:
            continue
        same = [word for word in expected if word.spoken_form == new.spoken_form]
        kept = new.sounds_like or not same or same[0].written != new.written
        replaced = user_words.add(file, new)
        if new in same or not kept:
            assert replaced is None
        else:
            assert replaced == tuple(same)
            sounds_like = new.sounds_like or (same[0].sounds_like if same else "")
            expected = [word for word in expected if word not in same] + [UserWord(new.written, sounds_like)]
        assert user_words.load(file) == Parsed(tuple(expected))
    for gone in list(expected):
        assert user_words.remove(file, gone.written.upper() if gone.written.isascii() else gone.written) == 1
        expected.remove(gone)
        assert user_words.load(file) == Parsed(tuple(expected))


def plant(file: Path, secret: Path, kind: str) -> None:
    """What the service's user can put in the place of the words."""
    if kind == "link":
        file.symlink_to(secret)
    elif kind == "hard link":
        file.hardlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "large":
        file.write_bytes(b"a\n" * (user_words.LARGEST // 2 + 1))


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder", "large"])
def test_what_is_planted_in_place_of_the_words_is_not_copied(tmp_path: Path, kind: str) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "state"
    secret.write_text("root:x\n")
    folder.mkdir()
    plant(folder / "words.tsv", secret, kind)
    for action in (
        lambda: user_words.add(folder / "words.tsv", UserWord("Zoe")),
        lambda: user_words.remove(folder / "words.tsv", "root:x"),
        lambda: user_words.load(folder / "words.tsv"),
        lambda: Watched(folder / "words.tsv").read(),
    ):
        with pytest.raises(VocabularyError):
            action()
    assert secret.read_text() == "root:x\n"
    assert [path.name for path in folder.iterdir()] == ["words.tsv"]


def test_a_link_in_place_of_the_new_file_is_not_written_through(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("kept")
    (tmp_path / ".words.tsv.new").symlink_to(secret)
    assert user_words.add(tmp_path / "words.tsv", UserWord("Zoe")) == ()
    assert secret.read_text() == "kept" and not (tmp_path / ".words.tsv.new").is_symlink()


def test_the_words_are_the_folders_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.touch(mode=0o644)
    assert user_words.add(file, UserWord("Zoe")) == ()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == tmp_path.stat().st_uid


@unless(os.geteuid() == 0, Need.KERNEL, "the right to give files away, which root has")
def test_root_adds_words_for_the_services_user(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 4_711, 4_712)
    assert user_words.add(folder / "words.tsv", UserWord("Zoe")) == ()
    assert user_words.add(folder / "words.tsv", UserWord("Abba")) == ()
    status = (folder / "words.tsv").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4_711, 4_712, 0o600)
    (folder / "words.tsv").unlink()
    (folder / "words.tsv").write_text("root's\n")
    with pytest.raises(VocabularyError, match="not a file of its folder's owner"):
        user_words.add(folder / "words.tsv", UserWord("Zoe"))


def test_a_file_written_by_hand_keeps_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_text("# people\nXiaoming\tshao ming\n\nO'Brien")
    assert user_words.add(file, UserWord("PyTorch", "pie torch")) == ()
    assert user_words.remove(file, "O'Brien") == 1
    assert file.read_text() == "# people\nXiaoming\tshao ming\n\nPyTorch\tpie torch\n"
    assert [path.name for path in tmp_path.iterdir()] == ["words.tsv"]


@pytest.mark.parametrize(
    ("content", "words", "faults"),
    [
        (b"fine\n#\n!!\nO'Brien", ["fine", "O'Brien"], ["words.tsv:3: '!!'"]),
        (b"a\tb3\nNew York\n", ["New York"], ["words.tsv:1: 'b3'"]),
        (b"\xff\nZoe\n", ["Zoe"], [r"words.tsv:1: '\\xff': is not UTF-8"]),
        (b"Caf\xe9\nZoe\n", ["Zoe"], [r"words.tsv:1: 'Caf\\xe9': is not UTF-8"]),
        (b"\xef\xbb\xbfXiaoming\tshao ming\r\n\r\n# mine\r\nZoe\r\n", ["Xiaoming", "Zoe"], []),
        ("\ufeffXiaoming\r\nZo\u00eb\r\n".encode("utf-16-le"), ["Xiaoming", "Zoë"], []),
        ("Zoe\u0308\n".encode(), ["Zoë"], []),
        (b"a\x00b\nb\n\t\nc\tsee\tsaw\n", ["b", "c"], ["words.tsv:1: 'a\\x00b'"]),
    ],
)
def test_good_lines_count_and_bad_ones_are_named(
    tmp_path: Path, content: bytes, words: list[str], faults: list[str]
) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes(content)
    parsed = user_words.load(file)
    assert [word.written for word in parsed.words] == words
    assert len(parsed.faults) == len(faults)
    assert all(fault in told for fault, told in zip(faults, parsed.faults, strict=True))
    assert user_words.add(file, UserWord("New Word")) == ()
    assert user_words.remove(file, words[0]) == 1
    again = user_words.load(file)
    assert [word.written for word in again.words] == [*words[1:], "New Word"]
    assert len(again.faults) == len(faults), "lines that are wrong are not thrown away"


def test_a_bad_line_keeps_its_bytes_when_another_is_changed(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes(b"Caf\xe9\tcaf fay\r\nZoe\r\n!!\r\n")
    user_words.add(file, UserWord("Ann"))
    user_words.remove(file, "zoe")
    assert file.read_bytes() == b"Caf\xe9\tcaf fay\r\n!!\r\nAnn\n"
    assert user_words.remove(file, "!!") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_any_bytes_are_words_and_faults(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes(b"first\n" + content + b"\nlast\n")
    parsed = user_words.load(file)
    assert (parsed.words[0], parsed.words[-1]) == (UserWord("first"), UserWord("last"))
    assert all(fault.startswith(f"{file}:") and fault.encode() for fault in parsed.faults)


def test_a_watched_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    watched = Watched(file)
    assert watched.read() == Parsed()
    user_words.add(file, UserWord("One"))
    assert watched.read() == Parsed((UserWord("One"),))
    assert watched.read() is watched.read()
    file.write_text("!!\nTwo\n")
    assert watched.read().words == (UserWord("Two"),) and "'!!'" in watched.read().faults[0]
    file.unlink()
    assert watched.read() == Parsed()


def test_words_are_pronounced_as_they_sound_and_written_as_given() -> None:
    words = [UserWord("Xiaoming", "shao ming"), UserWord("New York"), UserWord("Coca-Cola")]
    assert user_words.lexicon(words, letters) == [
        ("xiaoming", tuple("shaoming")),
        ("new_york", tuple("newyork")),
        ("coca-cola", tuple("cocacola")),
    ]
    with pytest.raises(VocabularyError, match="C3PO: cannot read 'c3po'; say how with --sounds-like"):
        user_words.lexicon([UserWord("C3PO")], letters)
    phrases = {tuple(said.split()): written for said, written in user_words.spellings(words).items()}
    assert phrases[("new", "york")] == phrases[("new_york",)] == "New York"
    writer = TextFormatter(Rules(spellings=phrases))
    (edit,) = writer.segment("xiaoming likes new york and new_york but not coca-cola")
    assert edit == Insert("Xiaoming likes New York and New York but not Coca-Cola")


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    code = (
        "import sys; from pathlib import Path; from device.vocabulary import user_words\n"
        "for i in range(20): user_words.add(Path(sys.argv[1]), user_words.UserWord(f'{sys.argv[2]}{i}'))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([sys.executable, "-c", code, file, name], env=env) for name in "abc"]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert {word.written for word in user_words.load(file).words} == {f"{n}{i}" for n in "abc" for i in range(20)}


def run(file: Path, *argv: str, pronounce: Pronounce | None = None) -> int:
    parser = argparse.ArgumentParser()
    cli_words.add_parser(parser.add_subparsers(), lambda config: pronounce)
    args = parser.parse_args(["words", argv[0], "--set", f"vocabulary.file={file}", *argv[1:]])
    status: int = args.run(args)
    return status


def test_mistakes_are_one_line_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = f"vocabulary.file={tmp_path / 'words.tsv'}"
    assert cli.main(["words", "remove", "x", "--set", file]) == 1
    assert capsys.readouterr().err == "dictate words: x: not among the words; `dictate words list` shows them\n"
    assert cli.main(["words", "add", "x", "--set", f"vocabulary.file={__file__}/words.tsv"]) == 1
    assert "words.tsv: File exists; run as a user who may write it" in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "words.tsv"
    assert run(file, "list") == 0
    assert capsys.readouterr().out == ""
    assert run(file, "add", "New", "York", pronounce=letters) == 0
    assert capsys.readouterr().out.startswith("New York [n e w y o r k]: added")
    assert run(file, "add", "Xiaoming", "--sounds-like", "Shao Ming") == 0
    assert run(file, "add", "Xiaoming", "--sounds-like", "shao ming") == 0
    said = capsys.readouterr().out
    assert "known already" in said
    assert "not checked" in said
    assert run(file, "list") == 0
    assert capsys.readouterr().out == "New York\nXiaoming  (sounds like shao ming)\n"
    with pytest.raises(VocabularyError, match="--sounds-like"):
        run(file, "add", "C3PO", pronounce=letters)
    with pytest.raises(VocabularyError, match="not among the words"):
        run(file, "remove", "york")
    assert run(file, "remove", "new york") == 0
    assert [word.written for word in user_words.load(file).words] == ["Xiaoming"]


def test_a_word_is_in_the_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "words.tsv"
    for argv in (["Xiaoming"], ["Xiaoming"], ["xiaoming", "--sounds-like", "shao ming"], ["XiaoMing"], ["XiaoMing"]):
        assert run(file, "add", *argv) == 0
    assert file.read_text() == "XiaoMing\tshao ming\n"
    said = capsys.readouterr().out.splitlines()
    assert ["known already" in line for line in said] == [False, True, False, False, True]
    assert "in place of Xiaoming;" in said[2] and "in place of xiaoming  (sounds like shao ming);" in said[3]


@pytest.mark.parametrize("name", ["日本", "Привет", "C3PO", "ab2", "α"])
def test_without_a_bundle_only_latin_letters_are_taken(tmp_path: Path, name: str) -> None:
    file = tmp_path / "words.tsv"
    with pytest.raises(VocabularyError, match="no letter of the Latin alphabet; say how with --sounds-like"):
        run(file, "add", name)
    assert not file.exists()
    with pytest.raises(VocabularyError, match="no letter of the Latin alphabet"):
        run(file, "add", "Nihon", "--sounds-like", "日本")
    assert run(file, "add", name, "--sounds-like", "ni hon") == 0


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["list"], ["One", "Two"]),
        (["add", "Three"], ["One", "Two", "Three"]),
        (["add", "One"], ["One", "Two"]),
        (["remove", "one"], ["Two"]),
    ],
)
def test_every_subcommand_does_its_work_and_ends_with_1_where_a_line_is_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], kept: list[str]
) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes(b"\xef\xbb\xbfOne\n!!\nTwo\n")
    assert run(file, *argv) == 1
    assert re.fullmatch(
        r"dictate words: \S+/words\.tsv:[12]: '!!': a word needs a letter .*\n", capsys.readouterr().err
    )
    assert [word.written for word in user_words.load(file).words] == kept
    file.write_text(file.read_text("utf-8-sig").replace("!!\n", ""), encoding="utf-8")
    assert run(file, "list") == 0
