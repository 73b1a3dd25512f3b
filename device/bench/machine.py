"""What a benchmark ran on, so that two reports can be compared."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from device.bench.record import Host

LIBRARIES = ("coral-dictation", "numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime", "soxr")


def describe(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Host:
    """This machine, now."""
    cpuinfo = _text(proc / "cpuinfo")
    memory = re.search(r"^MemTotal:\s*(\d+)", _text(proc / "meminfo"), re.M)
    governors = {_text(file) for file in sorted(sys.glob("devices/system/cpu/cpufreq/policy*/scaling_governor"))}
    return Host(
        model=_model(cpuinfo, sys),
        architecture=platform.machine(),
        cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)),
        governor=", ".join(sorted(governors)) or "none to be seen",
        scheduling=_scheduling(),
        kernel=platform.release(),
        virtual=bool(re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.M)),
        memory_mb=int(memory[1]) // 1024 if memory else 0,
        python=platform.python_version(),
        libraries=_versions(),
        load=os.getloadavg(),
    )


def _model(cpuinfo: str, sys: Path) -> str:
    """A board's name from its device tree, else the processor's."""
    board = _text(sys / "firmware/devicetree/base/model").strip("\0")
    named = re.search(r"^model name\s*: (.*)", cpuinfo, re.M)
    return board or (named[1] if named else platform.machine())


def _scheduling() -> str:
    """As chrt(1) and nice(1) name it."""
    policies = {
        os.SCHED_FIFO: "SCHED_FIFO",
        os.SCHED_RR: "SCHED_RR",
        os.SCHED_BATCH: "SCHED_BATCH",
        os.SCHED_IDLE: "SCHED_IDLE",
    }
    policy = os.sched_getscheduler(0)
    priority = os.sched_getparam(0).sched_priority
    return f"{policies[policy]} {priority}" if policy in policies else f"nice {os.nice(0)}"


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
