"""Runs one function of this package in a process of its own, its chatter in a log file.

TensorFlow is slow to import, prints at will and keeps its memory; so it lives only in such a process, which dies with
its parent.

    isolated.run("convert.quantization.quantize:quantize", encoder, calibration, out, log=out / "log.txt")
"""

from __future__ import annotations

import ctypes
import importlib
import signal
import subprocess
import sys
from pathlib import Path

from convert.errors import ConvertError
from models import python

MARK = "convert error: "
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2)


def run(function: str, *arguments: str | Path, log: Path) -> None:
    """Calls `function` ("module:name") with `arguments` as texts.

    Raises ConvertError with the message of a ConvertError there, else with the last line of the log and its place.
    """
    environment = python.environment({"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"})
    with log.open("w+", errors="replace") as file:
        child = subprocess.Popen(
            python.module("convert.subprocess_runner", function, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            code = child.wait()
        finally:
            child.kill()
            child.wait()
    if code == 0:
        return
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(MARK):
            raise ConvertError(line.removeprefix(MARK))
    cause = f"was ended by {signal.Signals(-code).name}" if code < 0 else lines[-1] if lines else f"ended with {code}"
    raise ConvertError(f"{function.partition(':')[0]}: {cause[:200]}; see {log}")


def main() -> None:
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    module, _, name = sys.argv[1].partition(":")
    try:
        getattr(importlib.import_module(module), name)(*sys.argv[2:])
    except ConvertError as error:
        print(f"{MARK}{error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
