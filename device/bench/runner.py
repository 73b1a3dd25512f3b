"""Runs the cases, a child process for each case and repetition, in turn.

A first round, in which every case hears a second of speech, is thrown away: it finds out what cannot be measured here,
and brings all files into memory.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from device.bench.cases import Case
from device.bench.engine import CONFIGURATIONS, Job
from device.bench.figures import interleaved
from device.bench.meters import Cores, Counters, Energy
from device.bench.record import Measurement
from device.bench.speech import Speech
from device.config import schema
from device.system.scheduling import GovernorError, governor_from
from models import python, typed

WARM_UP_S = 1.0


class Missing(Exception):
    """A case cannot be measured here; the text says why, in one line."""


@dataclass(frozen=True)
class RunSettings:
    """What is the same for all cases."""

    bundle: Path
    comparison: Path
    speech: Speech
    seconds: float
    threads: int
    baselines: Path
    """The Python that the baselines are installed for."""
    realtime: schema.RealtimeSettings
    counters: Counters
    energy: Energy
    scratch: Path
    second_pass: Path


def run(
    cases: Sequence[Case],
    setting: RunSettings,
    repetitions: int,
    tell: Callable[[str], None],
    keep: Callable[[Sequence[Measurement], Mapping[str, str]], None],
) -> None:
    """Measure every case `repetitions` times; `keep` gets all measurements so far and, by case, why others are missing,
    after each repetition.
    """
    missing: dict[str, str] = {}
    for case in cases:
        tell(f"warm-up: {case.name}")
        try:
            measure(case, 0, replace(setting, speech=_short(setting.speech), seconds=WARM_UP_S))
        except Missing as reason:
            missing[case.name] = str(reason)
    done: list[Measurement] = []
    keep(done, missing)
    possible = [case for case in cases if case.name not in missing]
    for repetition, order in enumerate(interleaved(possible, repetitions), 1):
        for case in order:
            if case.name in missing:
                continue
            tell(f"{repetition} of {repetitions}: {case.name}")
            try:
                done.append(measure(case, repetition, setting))
            except Missing as reason:
                missing[case.name] = str(reason)
        keep(done, missing)


def measure(case: Case, repetition: int, setting: RunSettings) -> Measurement:
    """One case in a process of its own. Raises Missing."""
    wanted = replace(
        setting.realtime, enabled=True, governor=case.governor, governor_state=setting.scratch / "governor.json"
    )
    try:
        with governor_from(wanted).raised() if case.governor else nullcontext():
            return _measured(case, repetition, setting)
    except GovernorError as error:
        raise Missing(str(error)) from None


def _measured(case: Case, repetition: int, setting: RunSettings) -> Measurement:
    speech = setting.speech.at(case.rate, setting.scratch / str(case.rate))
    job = Job(
        case.configuration,
        [str(file) for file in speech.files],
        str(setting.bundle),
        str(setting.comparison),
        setting.seconds if case.paced else 0.0,
        setting.threads,
        case.rate,
        case.live_hop,
        case.hop,
        case.right,
        case.cpus,
        case.live,
        case.priority,
        str(setting.second_pass),
    )
    phases: dict[str, Any] = {}
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
        began = time.monotonic()
        child = stack.enter_context(_started(job, setting, errors))
        stack.callback(child.kill)
        assert child.stdin and child.stdout
        meters = ExitStack()
        outside: dict[str, Any] = {}
        cores, counts, joules = Cores(), {}, None
        for line in child.stdout:
            said = json.loads(line)
            if "missing" in said:
                raise Missing(said["missing"])
            if "phase" in said:
                cores = Cores()
                counts = meters.enter_context(setting.counters.counting(child.pid))
                joules = meters.enter_context(setting.energy.counting())
                child.stdin.write("\n")
                child.stdin.flush()
                continue
            for phase in said.keys() & {"paced", "fast"}:
                outside[phase] = {"cores": list(cores.busy())}
                meters.close()
                outside[phase] |= {"counters": dict(counts), "joules": joules.value if joules else None}
            phases |= said
        child.wait()
        meters.close()
        if child.returncode or "peak_bytes" not in phases:
            errors.seek(0)
            raise Missing(f"failed: {_reason(errors.read(), child.returncode)}")
    return _typed(case, repetition, phases, outside, phases["ready"] - began)


def _typed(
    case: Case, repetition: int, phases: Mapping[str, Any], outside: Mapping[str, Any], cold_start_s: float
) -> Measurement:
    raw = {
        "case": case.name,
        "repetition": repetition,
        "cold_start_s": cold_start_s,
        **{key: phases[key] for key in ("model_bytes", "peak_bytes", "versions")},
        **{phase: {**phases[phase], **outside[phase]} if phase in phases else None for phase in ("paced", "fast")},
    }
    return typed.read(Measurement, raw, case.name, whole=True)


def _started(job: Job, setting: RunSettings, errors: Any) -> subprocess.Popen[str]:
    ours = CONFIGURATIONS[job.configuration].ours
    variables = {"OMP_NUM_THREADS": str(job.threads), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = python.environment(
        variables, inherit=ours
    )  # the baselines' Python finds this program from here alone
    interpreter = python.current() if ours else setting.baselines
    command = python.module("device.bench.worker", json.dumps(asdict(job)), interpreter=interpreter)
    try:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
        )
    except OSError as error:
        raise Missing(f"{command[0]}: {error.strerror}; name another Python with --baselines") from None


def _short(speech: Speech) -> Speech:
    return Speech(speech.source, speech.files[:1], None)


def _reason(errors: str, status: int) -> str:
    said = [line.strip() for line in errors.splitlines() if line.strip()]
    return said[-1][:200] if said else f"ended with status {status}"
