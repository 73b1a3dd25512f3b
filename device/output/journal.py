"""The journal: what was said is kept here before anything is typed, with marks for what became of it.

The rule, for an edit E:

1. E is appended and synced to disk; only then is it given to the sinks.
2. Before its first key is sent, E is marked ``typing``; after its last, ``typed``; or ``dropped``, when the
   computer did not take it in time.
3. After a crash, E is typed by the restarted appliance only if it has no mark at all, deletes nothing, was
   made in this boot, and is younger than the sink's patience. E marked ``typing`` may be on the screen in
   part: it is never typed again, and stays in the journal. So nothing is typed twice and nothing is lost.

When the disk cannot be written, edits are kept in memory, `error` says so, and each later call tries to write
them out. Marks are not synced: they survive a crash, and a power cut means another boot.

>>> journal = Journal(None, clock=lambda: 0.0, boot="b")
>>> edit = journal.append(0, "Hello")
>>> journal.mark(edit.id, "typed")
>>> [(entry.text, entry.state) for entry in journal.entries()]
[('Hello', 'typed')]
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from device.config import schema
from device.output.jsonl import JsonlLog, Line, encode, read

MEMORY = 10_000
"""Edits kept in memory, where there is no disk or it is full; the oldest go first."""

DeliveryState = Literal["kept", "typing", "typed", "dropped"]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One edit: delete `delete` characters before the cursor, then insert `text`."""

    id: int
    time: float
    """Seconds since 1970 by the appliance's clock."""
    boot: str
    delete: int
    text: str
    state: DeliveryState = "kept"


class Journal:
    """Edits in order, and what became of them. Its methods may be called from any thread.

    `files` None keeps them in memory only; `memory` 0 as well keeps nothing. `error` is None, or why the disk
    cannot be written; nothing in memory is dropped for it until there are more than `memory`.
    """

    def __init__(self, files: JsonlLog | None, clock: Callable[[], float], boot: str, memory: int = MEMORY) -> None:
        self.error: str | None = None
        self._files, self._clock, self._boot = files, clock, boot
        self._recent: deque[JournalEntry] = deque(maxlen=memory)
        self._backlog: deque[bytes] = deque(maxlen=2 * memory + 2)
        self._next = 1
        self._lock = threading.Lock()
        if files is not None:
            lines = files.tail()
            self._next = max((line["id"] for line in lines), default=0) + 1
            self._recent.extend(entries_of(lines))

    def append(self, delete: int, text: str) -> JournalEntry:
        """Keep an edit. On return it is on disk, or `error` says why it is in memory only."""
        with self._lock:
            entry = JournalEntry(self._next, round(self._clock(), 3), self._boot, delete, text)
            self._next += 1
            self._recent.append(entry)
            line = {"id": entry.id, "time": entry.time, "boot": entry.boot, "delete": delete, "text": text}
            self._write(line, sync=True)
            return entry

    def mark(self, id: int, state: DeliveryState) -> None:
        """Say what became of an edit."""
        with self._lock:
            for index in range(len(self._recent) - 1, -1, -1):
                if self._recent[index].id == id:
                    self._recent[index] = replace(self._recent[index], state=state)
                    break
            self._write({"mark": state, "id": id}, sync=False)

    def entries(self) -> list[JournalEntry]:
        """The recent edits, oldest first; :func:`entries_in` reads all that a folder has."""
        with self._lock:
            return list(self._recent)

    def pending(self, host_timeout_s: float) -> list[JournalEntry]:
        """After a restart: the edits that may still be typed, oldest first; see rule 3."""
        now = self._clock()
        found: list[JournalEntry] = []
        for entry in reversed(self.entries()):
            recent = entry.boot == self._boot and 0 <= now - entry.time <= host_timeout_s
            if entry.state != "kept" or entry.delete or not recent:
                break
            found.append(entry)
        return found[::-1]

    def close(self) -> None:
        """Write out what can be and let go of the folder."""
        with self._lock:
            if self._files is not None:
                self._flush(sync=True)
                self._files.close()

    def _write(self, line: Line, sync: bool) -> None:
        if self._files is None:
            return
        self._backlog.append(encode(line))
        self._flush(sync)

    def _flush(self, sync: bool) -> None:
        assert self._files is not None
        if not self._backlog:
            return
        try:
            self._files.append(b"".join(self._backlog), sync or self.error is not None)
        except OSError as error:
            self.error = f"journal: {error.strerror or error}: free space in {self._files.folder}"
            return
        self._backlog.clear()
        self.error = None


def open_journal(settings: schema.JournalSettings, clock: Callable[[], float], boot: str | None = None) -> Journal:
    """The journal that the configuration asks for.

    Where the disk cannot be used, the journal is in memory and its `error` says why. Raises
    :class:`device.output.jsonl.Locked` while another dictate uses the folder.
    """
    boot = boot_id() if boot is None else boot
    if settings.mode == "disk":
        try:
            files = JsonlLog(settings.dir, int(settings.max_mb * 1e6), settings.keep)
        except OSError as error:
            journal = Journal(None, clock, boot)
            journal.error = f"journal: {settings.dir}: {error.strerror or error}; text is kept in memory only"
            return journal
        return Journal(files, clock, boot)
    return Journal(None, clock, boot, MEMORY if settings.mode == "memory" else 0)


def boot_id(file: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """What tells this boot from others (proc(5)), shortened."""
    return file.read_text().strip()[:8]


def entries_of(lines: Iterable[Line]) -> Iterator[JournalEntry]:
    """Edits with their last marks, in order of id; marks of edits that are not there are passed over."""
    found: dict[int, JournalEntry] = {}
    for line in lines:
        if "mark" in line:
            if line["id"] in found:
                found[line["id"]] = replace(found[line["id"]], state=line["mark"])
        else:
            found[line["id"]] = _entry(line)
    yield from found.values()


def entries_in(folder: Path) -> Iterator[JournalEntry]:
    """Every edit that a folder has, oldest first; for reading while the appliance writes."""
    return entries_of(read(folder))


def text_of(entries: Iterable[JournalEntry]) -> str:
    """The text that edits make, as far as they are there: deletions reach no further back than the first.

    >>> text_of([JournalEntry(1, 0.0, "", 0, "Hello wold"), JournalEntry(2, 0.0, "", 2, "rld")])
    'Hello world'
    """
    text = ""
    for entry in entries:
        text = text[: max(0, len(text) - entry.delete)] + entry.text
    return text


def _entry(line: dict[str, Any]) -> JournalEntry:
    return JournalEntry(line["id"], line["time"], line["boot"], line["delete"], line["text"])
