"""The output's thread: the caller never waits for the disk, nothing is typed before it is on it, order is kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.config import schema
from device.output.background import BackgroundOutput
from device.output.dispatcher import Fanout
from device.output.journal import Journal, JournalEntry, entries_in, open_journal
from device.text.edits import Insert


class Recorder:
    name, marks = "recorder", False

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.closed = False

    def deliver(self, entry: JournalEntry) -> None:
        self.texts.append(entry.text)

    def close(self) -> None:
        self.closed = True


class Card:
    """fdatasync as a card answers it that is busy until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.answers = threading.Semaphore(0), threading.Semaphore(0)
        self.error: OSError | None = None
        real = os.fdatasync

        def fdatasync(fd: int) -> None:
            self.asked.release()
            self.answers.acquire()
            if self.error is not None:
                raise self.error
            real(fd)

        monkeypatch.setattr(os, "fdatasync", fdatasync)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    yield open_journal(schema.JournalSettings(dir=tmp_path), lambda: 0.0, "boot")


def test_the_caller_goes_on_while_the_card_syncs_and_nothing_is_typed_before(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, sink = Card(monkeypatch), Recorder()
    output = BackgroundOutput(Fanout(journal, [sink], lambda *_: None), lambda: 0.0)
    for text in ("one ", "two ", "three"):
        output.deliver((Insert(text),))
    card.asked.acquire()
    assert sink.texts == []
    card.answers.release()
    card.asked.acquire()  # the second is at the card: the first is through
    assert sink.texts == ["one "]
    assert [entry.text for entry in entries_in(tmp_path)][:1] == ["one "]
    for _ in range(2):
        card.answers.release()
    output.close()
    assert sink.texts == ["one ", "two ", "three"] and sink.closed
    assert [entry.text for entry in entries_in(tmp_path)] == ["one ", "two ", "three"]


def test_a_card_that_cannot_be_written_is_told_and_the_text_goes_on(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, sink = Card(monkeypatch), Recorder()
    card.error = OSError(30, "Read-only file system")
    told: list[tuple[str, str | None]] = []
    output = BackgroundOutput(Fanout(journal, [sink], lambda *what: told.append(what)), lambda: 0.0)
    card.answers.release(100)
    output.deliver((Insert("kept in memory"),))
    output.close()
    assert sink.texts == ["kept in memory"]
    ((name, message),) = told
    assert name == "journal" and message is not None and "Read-only file system" in message


def test_how_long_a_segment_has_been_at_the_card_can_be_asked(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, now = Card(monkeypatch), [100.0]
    output = BackgroundOutput(Fanout(journal, [], lambda *_: None), lambda: now[0])
    assert output.stalled_s == 0
    output.deliver((Insert("a"),))
    card.asked.acquire()
    now[0] = 125.0
    assert output.stalled_s == 25
    card.answers.release()
    output.close()
    assert output.stalled_s == 0


def test_what_a_restart_interrupted_comes_before_new_text() -> None:
    class Typing(Recorder):
        marks = True

    journal, sink = Journal(None, clock=lambda: 0.0, boot="b"), Typing()
    journal.append(0, "old ")
    output = BackgroundOutput(Fanout(journal, [sink], lambda *_: None), lambda: 0.0)
    output.resume(1.0)
    output.deliver((Insert("new"),))
    output.close()
    assert sink.texts == ["old ", "new"]


def test_a_fault_of_our_own_is_raised_to_the_next_caller() -> None:
    def clock() -> float:
        raise ZeroDivisionError("a fault")

    output = BackgroundOutput(Fanout(Journal(None, clock=clock, boot=""), [], lambda *_: None), lambda: 0.0)
    output.deliver((Insert("a"),))
    output.close()
    with pytest.raises(ZeroDivisionError):
        output.deliver((Insert("b"),))
