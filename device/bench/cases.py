"""What is measured: the configurations, and sweeps of windows, capture and scheduling with one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device.bench.engine import CONFIGURATIONS, RATE
from device.config import schema
from models.bundle import Window
from models.errors import UsageError

SWEEPS = ("windows", "capture", "realtime")
OURS = "tflite-int8"
"""What the sweeps are made with."""


class CaseError(UsageError):
    """A configuration or sweep of that name is not known; the message lists those that are."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the report: a configuration under some circumstances."""

    name: str
    sweep: str
    """"configurations" or one of SWEEPS."""
    title: str
    configuration: str
    live_hop: int = 0
    hop: int = 0
    right: int = 0
    rate: int = RATE
    cpus: tuple[int, ...] = ()
    priority: int = 0
    governor: str = ""
    """Raised while the case runs, by the parent."""
    paced: bool = True
    live: bool = True


def configurations(names: Sequence[str], threads: int) -> list[Case]:
    """The named configurations on as many cores as they have threads; CaseError names one that is not known."""
    for name in names:
        if name not in CONFIGURATIONS:
            raise CaseError(f"--configs {name}: no such configuration; there are {', '.join(CONFIGURATIONS)}")
    cores = tuple(sorted(os.sched_getaffinity(0))[-threads:])
    return [Case(name, "configurations", CONFIGURATIONS[name].title, name, cpus=cores) for name in names]


def sweep(name: str, settings: schema.RealtimeSettings, window: Window, threads: int) -> list[Case]:
    """The cases of one of SWEEPS; `window` is the bundle's own."""
    if name not in SWEEPS:
        raise CaseError(f"--sweeps {name}: no such sweep; there are {', '.join(SWEEPS)}")
    cores = tuple(sorted(os.sched_getaffinity(0))[-threads:])
    if name == "windows":
        return list(_windows(window, cores))
    if name == "capture":
        return [
            Case(f"capture {rate // 1000} kHz", name, title, OURS, rate=rate, cpus=cores, paced=False)
            for rate, title in ((RATE, "16 kHz, native"), (48_000, "48 kHz, resampled"))
        ]
    return list(_scheduling(settings))


def _windows(own: Window, cores: tuple[int, ...]) -> Iterator[Case]:
    """Ours; ours with a lookahead every 32 and 10 frames; and the text itself made of such batches and steps."""

    def case(title: str, live_hop: int = 0, hop: int = 0, right: int = 0) -> Case:
        return Case(
            f"window {live_hop}/{hop}/{right}",
            "windows",
            title,
            OURS,
            live_hop=live_hop,
            hop=hop,
            right=right,
            cpus=cores,
            paced=False,
        )

    yield case(f"ours: a look every {own.live_hop} frames")
    yield case("a look every 32 frames", live_hop=32)
    yield case("a look every 10 frames", live_hop=10)
    for right in (own.right, 0):
        yield case(f"32-frame batches, {right} after", hop=32, right=right)
        yield case(f"10-frame steps, {right} after", hop=10, right=right)


def _scheduling(settings: schema.RealtimeSettings) -> Iterator[Case]:
    """As it is; pinned; with the governor raised; first in line; and together; on cores that are there."""
    there = os.sched_getaffinity(0)
    wanted = tuple(core for core in (*settings.encoder_cpus, *settings.decoder_cpus) if core in there)
    pinned = tuple(dict.fromkeys(wanted)) or (max(there),)
    priority, governor = settings.capture_priority, settings.governor
    yield Case("as it is", "realtime", "as it is", OURS)
    cores = ", ".join(map(str, pinned))
    yield Case("pinned", "realtime", f"pinned to core {cores}", OURS, cpus=pinned)
    if governor:
        yield Case("governor", "realtime", f"governor {governor}", OURS, governor=governor)
    if priority:
        yield Case("fifo", "realtime", f"SCHED_FIFO {priority}", OURS, priority=priority)
        yield Case("pinned fifo", "realtime", "pinned, SCHED_FIFO", OURS, cpus=pinned, priority=priority)
    if governor and priority:
        yield Case("all three", "realtime", "all three", OURS, cpus=pinned, governor=governor, priority=priority)
