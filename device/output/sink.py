"""What an output is: the interface that each has, and what it is opened with.

An output is a module in `device/output/sinks/` named as its section of the configuration (`config.sinks.NAME`, which
has an `enabled`), with one function::

    def open_sink(settings: schema.NameSettings, context: Context) -> Sink | None: ...

It is imported and opened where the configuration enables it; None leaves it out, after `context.on_status` said why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TextIO

from device.output.journal import DeliveryState, JournalEntry

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


@dataclass(frozen=True, slots=True)
class Context:
    """What a sink may use of the rest."""

    mark: Callable[[int, DeliveryState], None]
    """Tells the journal what became of an edit."""
    stdout: TextIO
    clock: Callable[[], float]
    """Monotonic seconds."""
    on_status: OnStatus
