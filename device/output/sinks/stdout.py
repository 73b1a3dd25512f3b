"""Text on standard output, or any other stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from device.config.schema import StdoutSettings
from device.output.journal import JournalEntry
from device.output.sink import Context, Sink


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


def open_sink(settings: StdoutSettings, context: Context) -> Sink | None:
    """None where standard output is the system's log."""
    if is_system_log(context.stdout):
        reason = "standard output is the system's log, where dictated text does not belong: not written"
        context.on_status(StreamSink.name, reason)
        return None
    return StreamSink(context.stdout)


def is_system_log(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream goes to systemd's journal (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
