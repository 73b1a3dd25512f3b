"""Where text goes: the journal first, then every sink, none of which can stop another.

>>> import io
>>> from device.output.sinks.stdout import StreamSink
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

from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from device.config import schema
from device.output import sinks
from device.output.journal import Journal, JournalEntry
from device.output.sink import Context, OnStatus, Sink
from device.text.edits import Delete, Edit


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


def open_sinks(
    settings: schema.SinkSettings,
    journal: Journal,
    stdout: TextIO,
    clock: Callable[[], float],
    on_status: OnStatus,
    more: Iterable[Sink] = (),
) -> Fanout:
    """The outputs that the configuration enables, and `more`, behind `journal`; `clock` is monotonic seconds.

    Calls wait for the disk: :class:`device.output.background.BackgroundOutput` makes them in a thread.
    """
    context = Context(journal.mark, stdout, clock, on_status)
    enabled = [name for name in sinks.names() if getattr(settings, name).enabled]
    opened = [sinks.opener(name)(getattr(settings, name), context) for name in enabled]
    return Fanout(journal, [*(sink for sink in opened if sink is not None), *more], on_status)
