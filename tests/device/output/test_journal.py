"""The journal: nothing acknowledged is lost, by kill, torn tail or full disk; rotation; the command."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device import cli
from device.config import schema
from device.output.journal import Journal, JournalEntry, entries_in, open_journal, text_of
from device.output.jsonl import JsonlLog, Locked, decode, encode, files

ROOT = Path(__file__).parents[3]


def opened(folder: Path, max_bytes: int = 1 << 20, keep: int = 8, boot: str = "boot") -> Journal:
    return Journal(JsonlLog(folder, max_bytes, keep), clock=time.time, boot=boot)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to write files beyond this size: short writes, then EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(st.dictionaries(st.sampled_from(["id", "text", "mark"]), st.text() | st.integers() | st.floats(0, 1e10)))
def test_lines_decode_to_what_was_encoded(record: dict[str, object]) -> None:
    line = encode({"a": 1, **record})
    assert decode(line) == {"a": 1, **record}
    assert line.count(b"\n") == 1
    assert json.loads(line)["a"] == 1


@given(st.text(max_size=20), st.data())
def test_a_changed_or_shortened_line_is_refused(text: str, data: st.DataObject) -> None:
    line = encode({"id": 7, "text": text})
    assert decode(line[: data.draw(st.integers(0, len(line) - 1))]) is None
    at = data.draw(st.integers(0, len(line) - 2))
    changed = bytearray(line)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    record = decode(bytes(changed))
    assert record is None or record == {"id": 7, "text": text}


def test_entries_and_marks_survive_reopening(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    ids = [journal.append(0, text).id for text in ("Hello", " “wörld”", "\n", "\ud800")]
    journal.mark(ids[0], "typing")
    journal.mark(ids[0], "typed")
    journal.mark(ids[1], "dropped")
    kept = journal.entries()
    journal.close()
    again = opened(tmp_path)
    assert again.entries() == kept == list(entries_in(tmp_path))
    assert [entry.state for entry in kept] == ["typed", "dropped", "kept", "kept"]
    assert again.append(0, "x").id == ids[-1] + 1
    assert again.error is None


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 20), st.floats(0, 1), st.binary(max_size=40) | st.just(b"\0" * 4096))
def test_a_torn_end_is_cut_off_and_writing_goes_on(
    tmp_path_factory: pytest.TempPathFactory, count: int, where: float, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    journal = opened(folder)
    texts = [f"text {i}" for i in range(count)]
    for text in texts:
        journal.append(0, text)
    journal.close()
    (file,) = files(folder)
    content = file.read_bytes()
    cut = round(where * len(content))
    file.write_bytes(content[:cut] + garbage)
    whole = content[:cut].count(b"\n")
    if content.startswith(content[:cut] + garbage):
        whole = (content[:cut] + garbage).count(b"\n")
    torn = len(content[:cut] + garbage) - sum(map(len, content.splitlines(keepends=True)[:whole]))

    lines = JsonlLog(folder, 1 << 20, 8)
    assert lines.repaired == torn
    again = Journal(lines, time.time, "boot")
    assert [entry.text for entry in again.entries()] == texts[:whole]
    again.append(0, "after")
    again.close()
    assert [entry.text for entry in entries_in(folder)] == [*texts[:whole], "after"]
    if torn:
        assert file.with_suffix(".damaged").stat().st_size == torn


def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for text in "abc":
        journal.append(0, text)
    journal.close()
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"text":"b"', b'"text":"B"'))
    assert [entry.text for entry in opened(tmp_path).entries()] == ["a", "c"]


def test_rotation_keeps_the_newest_files_and_ids_go_on(tmp_path: Path) -> None:
    journal = opened(tmp_path, max_bytes=500, keep=3)
    for i in range(60):
        journal.append(0, f"text {i}")
        assert all(file.stat().st_size <= 500 for file in files(tmp_path))
    assert len(files(tmp_path)) == 4
    texts = [entry.text for entry in entries_in(tmp_path)]
    assert texts == [f"text {i}" for i in range(60 - len(texts), 60)]
    journal.close()
    again = opened(tmp_path, max_bytes=500, keep=3)
    assert again.append(0, "x").id == 61


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(Locked, match="in use by another dictate"):
        opened(tmp_path)
    journal.close()
    opened(tmp_path).close()


@pytest.mark.parametrize("room", [0, 1, 30, 100])
def test_a_full_disk_loses_nothing_and_is_written_out_later(tmp_path: Path, room: int) -> None:
    journal = opened(tmp_path)
    first = journal.append(0, "before")
    (file,) = files(tmp_path)
    with file_size_limit(file.stat().st_size + room):
        for i in range(5):
            journal.append(0, f"during {i}")
        journal.mark(first.id, "typed")
        assert journal.error is not None
        assert str(tmp_path) in journal.error
        assert next(entry.text for entry in entries_in(tmp_path)) == "before"
    expected = ["before", *(f"during {i}" for i in range(5))]
    assert [entry.text for entry in journal.entries()] == expected
    journal.append(0, "after")
    assert journal.error is None
    assert [entry.text for entry in entries_in(tmp_path)] == [*expected, "after"]
    assert next(entries_in(tmp_path)).state == "typed"


WRITER = """
import sys, time
from pathlib import Path
from device.output.journal import Journal
from device.output.jsonl import JsonlLog
journal = Journal(JsonlLog(Path(sys.argv[1]), 4000, 1000), time.time, "boot")
while True:
    entry = journal.append(0, f"text {journal.entries()[-1].id + 1 if journal.entries() else 1}")
    print("kept", entry.id, flush=True)
    journal.mark(entry.id, "typing")
    print("typing", entry.id, flush=True)
    journal.mark(entry.id, "typed")
"""


def test_kill_at_random_instants_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """kill -9 tests the death of the process; a power cut needs the virtual Pi or a board."""
    chance = random.Random(4)
    kept, begun = 0, set[int]()
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert child.stdout is not None
        said = [child.stdout.readline()]
        time.sleep(chance.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
        child.wait()
        for line in said:
            if line.endswith("\n"):
                word, number = line.split()
                if word == "kept":
                    kept = int(number)
                else:
                    begun.add(int(number))
        found = list(entries_in(tmp_path))
        assert [entry.id for entry in found] == list(range(1, len(found) + 1))
        assert [entry.text for entry in found] == [f"text {i}" for i in range(1, len(found) + 1)]
        assert kept <= len(found) <= kept + 1
        assert all(entry.state != "kept" for entry in found if entry.id in begun)
        after = opened(tmp_path, 4000, 1000)
        assert all(entry.id not in begun for entry in after.pending(60.0))
        after.close()
    assert kept > 12
    assert len(files(tmp_path)) > 1


def test_after_a_restart_only_untouched_insertions_of_this_boot_are_typed(tmp_path: Path) -> None:
    now = 1000.0
    journal = Journal(JsonlLog(tmp_path, 1 << 20, 8), lambda: now, "b1")
    for text in ("old", "half", "one", "two"):
        journal.append(0, text)
    journal.mark(1, "typed")
    journal.mark(2, "typing")
    journal.close()

    def pending(boot: str, at: float, patience: float) -> list[str]:
        again = Journal(JsonlLog(tmp_path, 1 << 20, 8), lambda: at, boot)
        found = [entry.text for entry in again.pending(patience)]
        again.close()
        return found

    assert pending("b1", 1005.0, 10.0) == ["one", "two"]
    assert pending("b1", 1011.0, 10.0) == []
    assert pending("b2", 1005.0, 10.0) == []
    assert pending("b1", 999.0, 10.0) == []
    journal = Journal(JsonlLog(tmp_path, 1 << 20, 8), lambda: now, "b1")
    journal.append(3, "three")
    journal.append(0, "four")
    journal.close()
    assert pending("b1", 1005.0, 10.0) == ["four"]


def test_memory_and_off(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    for mode, kept in (("memory", ["a"]), ("off", [])):
        settings = schema.JournalSettings(mode=mode, dir=folder)  # type: ignore[arg-type]
        journal = open_journal(settings, time.time, "boot")
        journal.mark(journal.append(0, "a").id, "typed")
        assert [entry.text for entry in journal.entries()] == kept
        journal.close()
    assert not folder.exists()


def test_a_disk_that_cannot_be_used_is_said_and_memory_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = open_journal(schema.JournalSettings(dir=tmp_path / "file" / "journal"), time.time)
    assert "Not a directory; text is kept in memory only" in str(journal.error)
    journal.append(0, "a")
    assert journal.error is not None
    assert [entry.text for entry in journal.entries()] == ["a"]
    journal.close()


def test_any_thread_may_append_and_mark(tmp_path: Path) -> None:
    journal = opened(tmp_path, max_bytes=4000, keep=100)

    def work(name: str) -> None:
        for i in range(30):
            journal.mark(journal.append(0, f"{name}{i}").id, "typed")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    found = list(entries_in(tmp_path))
    assert [entry.id for entry in found] == list(range(1, 91))
    assert {entry.text for entry in found} == {f"{name}{i}" for name in "abc" for i in range(30)}
    assert {entry.state for entry in found} == {"typed"}


def test_ids_only_grow(tmp_path: Path) -> None:
    journal = open_journal(schema.JournalSettings(dir=tmp_path), time.time)
    ids = [journal.append(0, "a").id for _ in range(5)]
    assert all(b == a + 1 for a, b in pairwise(ids))


def run(*argv: str) -> int:
    return cli.main(["journal", *argv])


def test_the_command_shows_and_searches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = opened(tmp_path)
    for delete, text in ((0, "Dear Anna,\n"), (0, "it is lade"), (2, "te")):
        journal.append(delete, text)
    journal.mark(1, "typed")
    folder = ("--dir", str(tmp_path))
    assert run(*folder) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2", "3"]
    assert run(*folder, "ANNA", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "typed"
    assert run(*folder, "--untyped", "--last", "1") == 0
    assert capsys.readouterr().out.split()[0] == "3"
    assert run(*folder, "--text") == 0
    assert capsys.readouterr().out == "Dear Anna,\nit is late\n"
    assert run(*folder, "^it", "--regex") == 0
    assert capsys.readouterr().out.split()[0] == "2"
    assert run(*folder, "--since", "2999-01-01") == 0
    assert capsys.readouterr().out == ""


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, message in (
        (["--dir", str(tmp_path / "none")], "no journal here yet"),
        (["--set", "sinks.journal.mode=off"], "nothing is kept on disk"),
        (["--dir", str(tmp_path), "(", "--regex"], "--regex ("),
    ):
        assert run(*argv) == (2 if "--regex" in argv else 1)
        assert message in capsys.readouterr().err


def test_text_of_deletes_no_further_than_the_first_entry() -> None:
    assert text_of([JournalEntry(1, 0.0, "", 5, "a"), JournalEntry(2, 0.0, "", 9, "b")]) == "b"
