"""Where text goes: the journal first, then every sink, none of which can stop another.

>>> import io
>>> from device.text.edits import Delete, Insert
>>> out = io.StringIO()
>>> journal = Journal(None, clock=lambda: 0.0, boot="")
>>> fanout = Fanout(journal, [StreamSink(out)], print)
>>> entry = fanout.deliver((Insert("Hello wold"),))
>>> entry = fanout.deliver((Delete(2), Insert("rld")))
>>> out.getvalue().replace("\\b \\b", "<")
'Hello wold<<rld'
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TextIO

from device.config import schema
from device.output import layouts
from device.output.hid_gadget import HidGadget
from device.output.journal import Journal, JournalEntry
from device.output.keyboard import Keyboard
from device.text.edits import Delete, Edit

POLL_S = 0.01
"""How often a closing keyboard is looked at."""

OnStatus = Callable[[str, str | None], None]
"""Told a sink's name and what is wrong with it, or None when it works again."""


class Sink(Protocol):
    """Takes edits that are in the journal already. `deliver` never waits; it may raise."""

    name: str
    marks: bool
    """Whether it marks in the journal what became of each edit, and so can go on after a restart."""

    def deliver(self, entry: JournalEntry) -> None:
        """Carry out an edit, or arrange for it."""

    def close(self) -> None:
        """Let go of what it holds."""


class StreamSink:
    """Text on a stream such as standard output; deletions are backspaces, as on a terminal."""

    name = "stdout"
    marks = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def deliver(self, entry: JournalEntry) -> None:
        """Write and flush."""
        self._stream.write("\b \b" * entry.delete + entry.text)
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""


class Typing:
    """A :class:`device.output.keyboard.Keyboard` with a thread of its own."""

    name = Keyboard.name
    marks = True

    def __init__(self, keyboard: Keyboard, drain_s: float = 5.0) -> None:
        self._keyboard, self._drain_s = keyboard, drain_s
        self.deliver = keyboard.deliver
        self._thread = threading.Thread(target=keyboard.run, name="keyboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Type what waits, for `drain_s` at most; the rest stays in the journal."""
        for _ in range(round(self._drain_s / POLL_S)):
            if self._keyboard.idle:
                break
            self._thread.join(POLL_S)
        self._keyboard.close()
        self._thread.join()
        self._keyboard.finish()


class Fanout:
    """Keeps an edit in the journal, then gives it to each sink; a sink that raises costs only itself."""

    def __init__(self, journal: Journal, sinks: Iterable[Sink], on_status: OnStatus) -> None:
        self._journal, self._sinks, self._on_status = journal, tuple(sinks), on_status
        self._wrong: dict[str, str] = {}
        self._marked = any(sink.marks for sink in self._sinks)
        self._tell("journal", journal.error)

    def deliver(self, edits: Sequence[Edit]) -> JournalEntry | None:
        """Carry out a segment's edits: at most one deletion, then one insertion. None if there are none."""
        if not edits:
            return None
        delete = sum(edit.count for edit in edits if isinstance(edit, Delete))
        text = "".join(edit.text for edit in edits if not isinstance(edit, Delete))
        entry = self._journal.append(delete, text)
        self._tell("journal", self._journal.error)
        if not self._marked:
            self._journal.mark(entry.id, "typing")
        taken = [self._give(sink, entry) for sink in self._sinks]
        if not self._marked:
            self._journal.mark(entry.id, "typed" if all(taken) else "dropped")
        return entry

    def resume(self, host_timeout_s: float) -> int:
        """After a restart, give the sinks that mark what :meth:`Journal.pending` has; returns how many edits."""
        pending = self._journal.pending(host_timeout_s)
        for entry in pending:
            for sink in self._sinks:
                if sink.marks:
                    self._give(sink, entry)
        return len(pending)

    def close(self) -> None:
        """Close every sink, then the journal."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:
                self._tell(sink.name, str(error) or type(error).__name__)
        self._journal.close()

    def _give(self, sink: Sink, entry: JournalEntry) -> bool:
        try:
            sink.deliver(entry)
        except Exception as error:
            self._tell(sink.name, str(error) or type(error).__name__)
            return False
        self._tell(sink.name, None)
        return True

    def _tell(self, name: str, message: str | None) -> None:
        if self._wrong.get(name) != message:
            if message is None:
                del self._wrong[name]
            else:
                self._wrong[name] = message
            self._on_status(name, message)


def is_system_log(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream goes to systemd's journal (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def open_sinks(
    settings: schema.SinkSettings,
    journal: Journal,
    stdout: TextIO,
    clock: Callable[[], float],
    on_status: OnStatus,
    more: Iterable[Sink] = (),
) -> Fanout:
    """The sinks that the configuration asks for, and `more`, behind `journal`; `clock` is monotonic seconds.

    Calls wait for the disk: :class:`device.output.background.BackgroundOutput` makes them in a thread.
    """
    sinks: list[Sink] = []
    if settings.keyboard.enabled:
        wanted = settings.keyboard
        keyboard = Keyboard(
            HidGadget(wanted.path),
            layouts.strokes(layouts.LAYOUTS[wanted.layout]),
            rate=wanted.rate,
            queue=wanted.queue,
            host_timeout_s=wanted.host_timeout_s,
            clock=clock,
            mark=journal.mark,
            on_status=lambda message: on_status(Keyboard.name, message),
        )
        sinks.append(Typing(keyboard))
    if settings.stdout.enabled and is_system_log(stdout):
        on_status(
            StreamSink.name, "standard output is the system's log, where dictated text does not belong: not written"
        )
    elif settings.stdout.enabled:
        sinks.append(StreamSink(stdout))
    return Fanout(journal, [*sinks, *more], on_status)
