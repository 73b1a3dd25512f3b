"""What a check found, and the person who helps with those that need hands and a voice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class CheckState(Enum):
    """How a check came out."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "fault"


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, how it is, what was found, what to do about it."""

    name: str
    state: CheckState
    detail: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"\n          -> {self.advice}" if self.advice else ""
        return f"{self.state.value:5} {self.name}: {self.detail}{advice}"


@dataclass(frozen=True, slots=True)
class Operator:
    """Who answers while the doctor looks: told what to do or to look at, asked whether it was so."""

    tell: Callable[[str], None]
    agree: Callable[[str], bool]
