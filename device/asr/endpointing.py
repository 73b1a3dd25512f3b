"""When a segment ends: how long a pause must be, and how long a segment may become."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When a segment ends. Seconds."""

    trailing_silence: float = 0.7  # without speech, after words
    soft_limit: float = 12.0  # a segment longer than this ends at the next short pause
    short_trailing_silence: float = 0.2
    max_segment: float = 25.0  # a segment longer than this ends at the next gap between words
    min_trailing_silence: float = 0.1
    set_off: float = 0.25  # within a segment, what stands between two pauses of this length may be a command
