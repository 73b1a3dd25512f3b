"""What the appliance is made of and what can happen to it, as its state machine sees them.

>>> StopRequested(Outcome.STOP)
StopRequested(outcome=<Outcome.STOP: 'stop'>)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from device.asr.results import Event, Partial
from device.asr.streaming import StreamingRecognizer
from device.audio.chunk import Chunk, PreRoll
from device.panel.gestures import Gestures
from device.panel.leds import LedState
from device.power.monitor import Battery, Usage
from device.text.edits import Edit
from device.text.formatter import TextFormatter


class Phase(Enum):
    """What the appliance does; the power log is tagged with the value."""

    STARTING = "starting"
    READY = "ready"
    LISTENING = "listening"
    FINALIZING = "finalizing"
    FAULT = "fault"


class Outcome(Enum):
    """Why the appliance ends."""

    STOP = "stop"
    SWITCH_OFF = "switch off"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Edge:
    """The button's contact changed."""

    time: float
    pressed: bool


@dataclass(frozen=True, slots=True)
class MicrophoneStatus:
    """The microphone is gone, or back (`why` is empty)."""

    why: str


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """A sink cannot do its work, or can again (`message` is None)."""

    sink: str
    message: str | None


@dataclass(frozen=True, slots=True)
class StopRequested:
    """End once what is being said is written."""

    outcome: Outcome


class ControlRequest(Enum):
    """What is asked for by a key of the terminal or by `dictate toggle`, which have no press that is held."""

    TOGGLE = "toggle"
    BEGIN = "begin"
    END = "end"
    DELETE = "delete"


Input = Edge | ControlRequest | Chunk | MicrophoneStatus | OutputStatus | Battery | StopRequested
"""Anything that happens to the appliance."""


@dataclass(frozen=True, slots=True)
class LoadedRecognizer:
    """A recognizer, why it runs on the CPU instead of the Coral (or nothing), and how to let go of it."""

    recognizer: StreamingRecognizer
    on_cpu: Callable[[], str] = lambda: ""
    close: Callable[[], None] = lambda: None


class CpuGovernor(Protocol):
    """What makes the machine faster while it matters; `device.system.scheduling.Governor` is one."""

    def raise_(self) -> None:
        """Begin. Raises an exception with a one-line message when not permitted."""

    def restore(self) -> None:
        """End."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the appliance is made of."""

    load_recognizer: Callable[[], LoadedRecognizer]
    """Loads the recogniser; called again after it failed. Raises an exception with a one-line message."""
    formatter: TextFormatter
    deliver: Callable[[Sequence[Edit]], object]
    """Journals edits, then types them; never waits."""
    gestures: Gestures
    preroll: PreRoll
    governor: CpuGovernor
    set_leds: Callable[[frozenset[LedState]], None]
    """Shows states on the LEDs."""
    record_usage: Callable[[Usage], None]
    """Tells the power log what is done."""
    microphone: Callable[[bool], None] = lambda wanted: None
    """Opens or closes a microphone that is not always open."""
    warning: str = ""
    """What was not taken of the configuration or of an update, in one line."""
    partial: Callable[[Partial], None] = lambda partial: None
    """Shows what is being said."""
    silence_s: float = float("inf")
    """A dictation ends after so much sound without a word."""
    once: bool = False
    """Whether to end with the first dictation."""
    recognised: Callable[[Event], None] = lambda event: None
    """Gets each partial result and segment as the recogniser gave it; never waits."""
