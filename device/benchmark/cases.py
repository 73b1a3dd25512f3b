"""What is measured: the configurations, and sweeps of windows, capture and scheduling with one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device import config
from device.benchmark.engine import CONFIGURATIONS, RATE
from models.errors import UserError

SWEEPS = ("windows", "capture", "realtime")
OURS = "tflite-int8"
"""What the sweeps are made with."""


class CaseError(UserError):
    """A configuration or sweep of that name is not known; the message lists those that are."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the report: a configuration under some circumstances."""

    name: str
    sweep: str
    """"configurations" or one of SWEEPS."""
    title: str
    configuration: str
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


def sweep(name: str, settings: config.Realtime, window: tuple[int, int], threads: int) -> list[Case]:
    """The cases of one of SWEEPS; `window` is the bundle's own (live_hop, live_right), in frames of 10 ms."""
    if name not in SWEEPS:
        raise CaseError(f"--sweeps {name}: no such sweep; there are {', '.join(SWEEPS)}")
    cores = tuple(sorted(os.sched_getaffinity(0))[-threads:])
    if name == "windows":
        return list(_windows(window, cores))
    if name == "capture":
        return [Case(f"capture {rate // 1000} kHz", name, title, OURS, rate=rate, cpus=cores, paced=False)
                for rate, title in ((RATE, "16 kHz, native"), (48_000, "48 kHz, resampled"))]
    return list(_scheduling(settings))


def _windows(own: tuple[int, int], cores: tuple[int, ...]) -> Iterator[Case]:
    """The article's 32-frame batches and 10-frame steps, with the context of ours and with none, and ours."""
    hop, right = own
    tried = [(hop, right, f"ours: {hop} frames"), (32, right, "32-frame batches"), (10, right, "10-frame steps"),
             (32, 0, "32-frame batches"), (10, 0, "10-frame steps")]
    for new, after, title in tried:
        title = f"{title}, {after} after"
        yield Case(f"window {new}/{after}", "windows", title, OURS, hop=new, right=after, cpus=cores, paced=False)


def _scheduling(settings: config.Realtime) -> Iterator[Case]:
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
