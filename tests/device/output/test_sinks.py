"""Several sinks at once, and exactly-once typing through kill -9."""

from __future__ import annotations

import io
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usb_host import Host, Table

from device.config import schema
from device.output import sinks
from device.output.dispatcher import Fanout, open_sinks
from device.output.journal import Journal, JournalEntry, entries_in, open_journal, text_of
from device.output.sink import Sink
from device.output.sinks.stdout import StreamSink
from device.text.edits import Delete, Edit, Insert, apply

ROOT = Path(__file__).parents[3]


class Recorder:
    def __init__(self, name: str, fail: str = "", marks: bool = False) -> None:
        self.name, self.fail, self.marks = name, fail, marks
        self.entries: list[JournalEntry] = []
        self.closed = False

    def deliver(self, entry: JournalEntry) -> None:
        if self.fail:
            raise OSError(self.fail)
        self.entries.append(entry)

    def close(self) -> None:
        self.closed = True
        if self.fail:
            raise OSError(self.fail)


def memory() -> Journal:
    return Journal(None, clock=lambda: 0.0, boot="")


def test_a_failing_sink_stops_no_other_and_is_reported_once() -> None:
    told: list[tuple[str, str | None]] = []
    bad, good = Recorder("bad", "no room"), Recorder("good")
    sinks: list[Sink] = [bad, good]
    fanout = Fanout(memory(), sinks, lambda name, message: told.append((name, message)))
    for text in ("a", "b"):
        fanout.deliver((Insert(text),))
    assert [entry.text for entry in good.entries] == ["a", "b"]
    assert told == [("bad", "no room")]
    bad.fail = ""
    fanout.deliver((Insert("c"),))
    assert told == [("bad", "no room"), ("bad", None)]
    bad.fail = "gone"
    fanout.close()
    assert good.closed
    assert told[-1] == ("bad", "gone")


def test_the_journal_has_it_before_any_sink_sees_it() -> None:
    journal = memory()

    class Looks(Recorder):
        def deliver(self, entry: JournalEntry) -> None:
            assert journal.entries()[-1].id == entry.id
            super().deliver(entry)

    looks = Looks("looks")
    told: list[str | None] = []
    Fanout(journal, [looks], lambda _, message: told.append(message)).deliver((Delete(2), Insert("x")))
    assert [(entry.delete, entry.text) for entry in looks.entries] == [(2, "x")]
    assert told == []


def test_without_a_sink_that_marks_the_fanout_does() -> None:
    journal, bad = memory(), Recorder("bad")
    fanout = Fanout(journal, [StreamSink(io.StringIO()), bad], lambda *_: None)
    fanout.deliver((Insert("a"),))
    bad.fail = "no"
    fanout.deliver((Insert("b"),))
    assert [entry.state for entry in journal.entries()] == ["typed", "dropped"]


def test_after_a_restart_only_sinks_that_mark_go_on() -> None:
    journal, types, prints = memory(), Recorder("types", marks=True), Recorder("prints")
    kept = journal.append(0, "a")
    fanout = Fanout(journal, [types, prints], print)
    assert fanout.resume(1.0) == 1
    assert types.entries == [kept]
    assert prints.entries == []


def test_a_journal_that_never_worked_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = open_journal(schema.JournalSettings(dir=tmp_path / "file"), time.time)
    told: list[tuple[str, str | None]] = []
    Fanout(journal, [], lambda name, message: told.append((name, message)))
    assert [name for name, _ in told] == ["journal"]
    assert "text is kept in memory only" in str(told[0][1])


def test_no_edits_are_no_entry() -> None:
    journal = memory()
    assert Fanout(journal, [], print).deliver(()) is None
    assert journal.entries() == []


@given(st.lists(st.tuples(st.integers(0, 5), st.text(st.characters(exclude_characters="\b"), max_size=8))))
def test_a_stream_and_the_journal_show_the_document(script: list[tuple[int, str]]) -> None:
    out, document, journal = io.StringIO(), "", memory()
    fanout = Fanout(journal, [StreamSink(out)], print)
    for delete, text in script:
        edits: list[Edit] = [Delete(min(delete, len(document)))] if min(delete, len(document)) else []
        edits += [Insert(text)] if text else []
        document = apply(document, edits)
        fanout.deliver(edits)
    shown = ""
    for char in out.getvalue().replace("\b \b", "\b"):
        shown = shown[:-1] if char == "\b" else shown + char
    assert shown == document == text_of(journal.entries())


class Computer:
    """Reads a named pipe all the time, like a computer that is awake."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.host = Host(Table("us"))
        self.end = os.open(path, os.O_RDWR)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        os.set_blocking(self.end, False)
        while True:
            last = self.stop.is_set()
            try:
                self.host.feed(os.read(self.end, 8000))
            except BlockingIOError:
                if last:
                    return
                self.stop.wait(0.002)

    def close(self) -> str:
        """What was typed, once all of it is read."""
        self.stop.set()
        self.thread.join()
        os.close(self.end)
        return self.host.screen


def test_the_configured_sinks_type_and_print(tmp_path: Path) -> None:
    computer = Computer(tmp_path / "hidg0")
    settings = schema.SinkSettings(
        journal=schema.JournalSettings(dir=tmp_path / "journal"),
        keyboard=schema.KeyboardSettings(path=tmp_path / "hidg0", rate=500),
        stdout=schema.StdoutSettings(enabled=True),
    )
    out = io.StringIO()
    told: list[object] = []
    journal = open_journal(settings.journal, time.time)
    fanout = open_sinks(settings, journal, out, time.monotonic, lambda *what: told.append(what))
    fanout.deliver((Insert("Hello"),))
    fanout.deliver((Delete(1), Insert("p!")))
    fanout.close()
    assert computer.close() == "Hellp!"
    assert out.getvalue() == "Hello\b \bp!"
    assert [entry.state for entry in entries_in(tmp_path / "journal")] == ["typed", "typed"]
    assert told == []


def test_closing_does_not_wait_for_a_computer_that_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hidg0")
    settings = schema.SinkSettings(
        journal=schema.JournalSettings(dir=tmp_path / "journal"),
        keyboard=schema.KeyboardSettings(path=tmp_path / "hidg0", host_timeout_s=0.1),
    )
    journal = open_journal(settings.journal, time.time)
    fanout = open_sinks(settings, journal, io.StringIO(), time.monotonic, lambda *_: None)
    fanout.deliver((Insert("Hello"),))
    fanout.close()
    assert [entry.state for entry in entries_in(tmp_path / "journal")] == ["dropped"]


def test_a_path_that_is_no_keyboard_is_told_and_the_journal_keeps_the_text_as_not_typed(tmp_path: Path) -> None:
    (tmp_path / "hidg0").write_bytes(b"")
    settings = schema.SinkSettings(
        journal=schema.JournalSettings(dir=tmp_path / "journal"),
        keyboard=schema.KeyboardSettings(path=tmp_path / "hidg0", host_timeout_s=0.7),
    )
    told: list[tuple[str, str | None]] = []
    journal = open_journal(settings.journal, time.time)
    fanout = open_sinks(settings, journal, io.StringIO(), time.monotonic, lambda *what: told.append(what))
    fanout.deliver((Insert("Hello"),))
    fanout.close()
    assert [(entry.text, entry.state) for entry in entries_in(tmp_path / "journal")] == [("Hello", "dropped")]
    assert [sink for sink, _ in told] == ["keyboard"] and "no USB keyboard gadget" in str(told[0][1])
    assert (tmp_path / "hidg0").read_bytes() == b""


APPLIANCE = """
import sys, time
from dataclasses import fields
from pathlib import Path
from device.config import schema
from device.text.edits import Insert
from device.output.background import BackgroundOutput
from device.output.journal import open_journal
from device.output.dispatcher import open_sinks
folder = Path(sys.argv[1])
settings = schema.SinkSettings(
    journal=schema.JournalSettings(dir=folder / "journal", max_mb=0.01, keep=1000),
    keyboard=schema.KeyboardSettings(path=folder / "hidg0", rate=500),
    stdout=schema.StdoutSettings(enabled=True),
)
journal = open_journal(settings.journal, time.time)
output = BackgroundOutput(open_sinks(settings, journal, sys.stdout, time.monotonic, lambda *what: None), time.monotonic)
entries = journal.entries()
number = entries[-1].id if entries else 0
output.resume(settings.keyboard.host_timeout_s)
while True:
    number += 1
    output.deliver((Insert(f"<{number}>"),))
    time.sleep(0.004)
"""


def test_killed_at_random_instants_nothing_is_lost_or_typed_twice(tmp_path: Path) -> None:
    computer = Computer(tmp_path / "hidg0")
    chance = random.Random(11)
    acknowledged = 0
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", APPLIANCE, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert child.stdout is not None
        shown = child.stdout.read(1)
        time.sleep(chance.uniform(0.0, 0.12))
        child.send_signal(signal.SIGKILL)
        shown += child.stdout.read()
        acknowledged = max([acknowledged, *map(int, re.findall(r"<(\d+)>", shown))])
        child.wait()
    screen = computer.close()
    typed = [int(number) for number in re.findall(r"<(\d+)>", screen)]
    found = list(entries_in(tmp_path / "journal"))
    assert len(typed) == len(set(typed)), screen
    assert len(typed) > 12
    assert [entry.id for entry in found] == list(range(1, len(found) + 1))
    assert len(found) >= acknowledged
    marked = {entry.id for entry in found if entry.state == "typed"}
    begun = {entry.id for entry in found if entry.state == "typing"}
    assert marked <= set(typed) <= marked | begun
    assert len(begun) <= 12


@pytest.mark.parametrize("name", ["us", "uk", "de", "fr"])
def test_the_configuration_names_every_layout(name: str) -> None:
    from device.output.layouts import LAYOUTS

    assert name in LAYOUTS
    assert len(LAYOUTS) == 4


def test_dictated_text_does_not_reach_the_systems_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str | None]] = []
    journal = Journal(None, clock=lambda: 0.0, boot="")
    wanted = schema.SinkSettings(
        keyboard=schema.KeyboardSettings(enabled=False), stdout=schema.StdoutSettings(enabled=True)
    )
    with (tmp_path / "log").open("w") as log:
        status = os.fstat(log.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        open_sinks(wanted, journal, log, lambda: 0.0, lambda *problem: told.append(problem)).deliver(
            (Insert("secret"),)
        )
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")
        open_sinks(wanted, journal, log, lambda: 0.0, lambda *problem: told.append(problem)).deliver((Insert("shown"),))
    assert (tmp_path / "log").read_text() == "shown"
    ((name, why),) = told
    assert name == "stdout" and why and "system's log" in why


def test_every_output_has_its_section_of_the_configuration() -> None:
    sections = {field.name: getattr(schema.SinkSettings(), field.name) for field in fields(schema.SinkSettings)}
    assert set(sinks.names()) == {name for name, section in sections.items() if hasattr(section, "enabled")}
    assert all(callable(sinks.opener(name)) for name in sinks.names())


def test_an_output_that_is_not_enabled_is_not_imported(tmp_path: Path) -> None:
    code = """
import io, sys, time
from device.config import schema
from device.output.dispatcher import open_sinks
from device.output.journal import open_journal
settings = schema.SinkSettings(
    schema.JournalSettings(mode="memory"), schema.KeyboardSettings(enabled=False), schema.StdoutSettings(enabled=True)
)
open_sinks(settings, open_journal(settings.journal, time.time), io.StringIO(), time.monotonic, print)
assert "device.output.sinks.stdout" in sys.modules and "device.output.sinks.keyboard" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
