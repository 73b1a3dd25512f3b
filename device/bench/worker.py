"""The child: one engine in a process of its own, made to listen; started by runner.py.

    python -m device.bench.worker JOB      # JOB: engine.Job as JSON

It says what it is about to do, a JSON object a line on its standard output, and begins when a line comes on its
standard input, so that the parent can read meters in between:

    {"missing": REASON}                       and ends; or
    {"ready": MONOTONIC, ...} → {"phase": "paced"} → {"paced": ...} → {"phase": "fast"} → {"fast": ...}

What engines print goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from device.bench.engine import CONFIGURATIONS, RATE, Engine, Job, Outside, engine_module
from device.bench.listen import Clock, Computed, RealTime, Resampled, listen

WARM_UP_S = 2.0
"""Speech that is heard before anything is measured."""


def main() -> int:
    job = Job(**json.loads(sys.argv[1]))
    told, sys.stdout = _own_output(), sys.stderr

    def say(**what: Any) -> None:
        print(json.dumps(what), file=told, flush=True)

    module = engine_module(job.configuration)
    if reason := module.missing(job) or _restricted(job):
        say(missing=reason)
        return 0
    engine: Engine = module.load(job)
    outside = engine if isinstance(engine, Outside) else None
    versions = _versions(module.PACKAGES) | (dict(outside.about) if outside else {})
    say(ready=time.monotonic(), model_bytes=sum(map(_size, engine.model)), versions=versions)
    resampled = Resampled(engine, job.rate) if job.rate != RATE else None
    hears: Engine = resampled or engine
    speech = [_samples(Path(name)) for name in job.recordings]
    listen(hears, speech[0][: round(WARM_UP_S * job.rate)], job.rate, Computed())
    if resampled:
        resampled.took.clear()
    for phase, clock, heard in (
        ("paced", RealTime(), list(_first(speech, job.seconds * job.rate))),
        ("fast", Computed(), speech),
    ):
        if not heard:
            continue
        say(phase=phase)
        if not sys.stdin.readline():
            return 1  # the parent is gone
        measured = _listened(hears, heard, job, clock, outside)
        say(**{phase: {**measured, "converting": list(resampled.took) if resampled else []}})
    say(peak_bytes=sum(_peak(pid) for pid in (os.getpid(), *_pids(outside))))
    if outside:
        outside.close()
    return 0


def _listened(
    engine: Engine, speech: Sequence[NDArray[np.int16]], job: Job, clock: Clock, outside: Outside | None
) -> dict[str, Any]:
    wall, cpu, before = time.monotonic(), _cpu(outside), resource.getrusage(resource.RUSAGE_SELF)
    utterances = [asdict(listen(engine, samples, job.rate, clock)) for samples in speech]
    after = resource.getrusage(resource.RUSAGE_SELF)
    if not CONFIGURATIONS[job.configuration].streams:
        for utterance in utterances:
            utterance["late"] = []  # it only gathered them
    return {
        "utterances": utterances,
        "wall_s": time.monotonic() - wall,
        "cpu_s": _cpu(outside) - cpu,
        "voluntary": after.ru_nvcsw - before.ru_nvcsw,
        "involuntary": after.ru_nivcsw - before.ru_nivcsw,
    }


def _restricted(job: Job) -> str:
    """Take the cores and the priority that `job` asks for; why not, where the kernel refuses."""
    if job.cpus:
        try:
            os.sched_setaffinity(0, job.cpus)
        except OSError as error:
            return f"cores {', '.join(map(str, job.cpus))}: {error.strerror}"
    if job.priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(job.priority))
        except OSError as error:
            return f"SCHED_FIFO priority {job.priority}: {error.strerror}; run as root or raise RLIMIT_RTPRIO"
    return ""


def _own_output() -> TextIO:
    """Standard output for this module alone: what C libraries print to it goes to standard error from now on."""
    mine = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return mine


def _first(speech: Sequence[NDArray[np.int16]], samples: float) -> Iterator[NDArray[np.int16]]:
    """The recordings up to so many samples; the last is cut."""
    left = round(samples)
    for recording in speech:
        if left > 0:
            yield recording[:left]
            left -= len(recording)


def _samples(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16)


def _size(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _cpu(outside: Outside | None) -> float:
    """Processor seconds of this process, and of those that work for it, so far."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in _pids(outside))
    ticks = sum(int(of[11]) + int(of[12]) for of in fields)  # utime and stime, proc(5)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _pids(outside: Outside | None) -> Sequence[int]:
    return outside.processes() if outside else ()


def _peak(pid: int) -> int:
    """Most memory that a process ever held. Not ru_maxrss: that begins with what its parent held (getrusage(2))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
