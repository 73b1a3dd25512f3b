"""Checks of the microphone: rate, lost sound, loudness."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from device.config import schema
from device.diagnostics.check import Check, CheckState, Operator

QUIET_DBFS, LOUD_DBFS = -60.0, -3.0
"""Speech at a usual distance lies well between (RMS of a block)."""


def microphone_checks(
    settings: schema.AudioSettings, operator: Operator | None, seconds: float = 3.0
) -> Iterator[Check]:
    """Whether it is there, captures at 16 kHz itself, loses nothing, and how loud it hears."""
    if settings.source == "file":
        yield Check("microphone", CheckState.NOTE, f"the recording {settings.file} stands in for it, as configured")
        return
    try:
        from device.audio.microphone import Microphone, level
        from device.audio.portaudio import StreamStatus
    except ImportError as error:
        yield Check("microphone", CheckState.BAD, f"PortAudio: {error}", "`pip install coral-dictation[device]`")
        return
    found: list[StreamStatus] = []

    def notify(status: StreamStatus) -> None:
        found.append(status)
        if status.lost:
            microphone.stop()

    microphone = Microphone(settings, notify)
    if operator:
        operator.tell(f"speak for {seconds:.0f} seconds")
    wanted = max(1, round(seconds * 1_000 / settings.block_ms))
    levels, overruns = [], 0
    for chunk in islice(microphone, wanted):
        levels.append(level(chunk.samples))
        overruns = chunk.overruns
        if operator:
            operator.tell(meter(levels[-1]))
    if not found or found[-1].lost:
        cause, _, advice = (found[-1].lost if found else "microphone: nothing came").partition("; ")
        yield Check("microphone", CheckState.BAD, cause.removeprefix("microphone "), advice)
        return
    yield Check("microphone", CheckState.GOOD, found[0].name)
    yield _rate(found[0].rate)
    yield _loss(overruns)
    yield _loudness(levels, spoken=operator is not None)


def meter(dbfs: float) -> str:
    """A level meter of 30 characters.

    >>> meter(-30.0)
    '[###############...............]  -30 dBFS'
    """
    filled = min(30, max(0, round((dbfs + 60) / 2)))
    return f"[{'#' * filled}{'.' * (30 - filled)}] {dbfs:4.0f} dBFS"


def _rate(rate: int) -> Check:
    if rate == 16_000:
        return Check("sample rate", CheckState.GOOD, "16000 Hz by the device itself")
    advice = "it works, at the cost of some processor time; a microphone with 16 kHz of its own avoids that"
    return Check("sample rate", CheckState.NOTE, f"{rate} Hz, resampled to 16000 Hz", advice)


def _loss(overruns: int) -> Check:
    if overruns == 0:
        return Check("capture", CheckState.GOOD, "no sound lost")
    return Check(
        "capture", CheckState.BAD, f"sound was lost {overruns} times", "stop other programs; see realtime below"
    )


def _loudness(levels: list[float], spoken: bool) -> Check:
    loudest = max(levels)
    if loudest <= -115:
        return Check("level", CheckState.BAD, "digital silence", "is it muted? try `alsamixer`, capture view")
    if loudest > LOUD_DBFS:
        return Check("level", CheckState.BAD, f"{loudest:.0f} dBFS, clipping", "lower the capture level in `alsamixer`")
    if spoken and loudest < QUIET_DBFS:
        return Check("level", CheckState.BAD, f"{loudest:.0f} dBFS", "speak closer, or raise the level in `alsamixer`")
    return Check("level", CheckState.GOOD, f"loudest {loudest:.0f} dBFS, median {np.median(levels):.0f} dBFS")
