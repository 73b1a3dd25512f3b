"""What an engine is to the benchmark, and which there are.

A file in engines/ has two functions and a constant:

    PACKAGES = ("pocketsphinx",)              # distributions whose versions belong in the report
    def missing(job: Job) -> str: ...         # what it lacks and how to get it; nothing where it can be measured
    def load(job: Job) -> Engine: ...

Only the standard library and numpy are imported here and in the worker, so that the memory measured is the engine's,
and so that the baselines may live in an environment of their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Samples per second that engines hear."""

CHUNK_S = 0.1
"""Seconds of sound in a chunk, as a microphone delivers it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker is asked to do; it gets it as JSON."""

    configuration: str
    recordings: Sequence[str]
    """16-bit mono WAV files of `rate`."""
    bundle: str
    comparison: str
    """The bundle that `convert/build.py --comparison` writes."""
    seconds: float
    """Speech heard at the pace of a microphone; 0 for none."""
    threads: int = 1
    rate: int = RATE
    """Samples per second of the recordings; other than 16,000 they are resampled as a microphone's would be."""
    live_hop: int = 0
    """Frames of 10 ms after which the newest sound is looked at; 0 leaves that to the bundle."""
    hop: int = 0
    """Frames that each call of the encoder adds for good, with no look ahead of that; 0 leaves it to the bundle."""
    right: int = 0
    """Frames that it hears after those, if `hop` is not 0."""
    cpus: Sequence[int] = ()
    """Cores that the worker may use; all where none is named."""
    live: bool = True
    """Hear as the appliance does; otherwise as a file is read, more accurately and later."""
    priority: int = 0
    """SCHED_FIFO priority of the worker; 0 is an ordinary process."""
    second_pass: str = ""
    """The bundle of the second pass."""


class Engine(Protocol):
    """Something that hears one utterance after another."""

    @property
    def model(self) -> Sequence[Path]:
        """The files that it loaded, folders included whole."""

    def accept_waveform(self, samples: NDArray[np.int16]) -> float | None:
        """Hear samples [n] of 16 kHz.

        Returns how many seconds of the utterance a new partial text covers, or None where no text is new.
        """

    def finish(self) -> str:
        """The utterance is over: return its text; the next samples begin another."""


@runtime_checkable
class Outside(Protocol):
    """An engine that has other processes work for it, which are measured with it."""

    about: Mapping[str, str]
    """What belongs in the report beside versions; "adapter" names the hardware that does the work."""

    def processes(self) -> Sequence[int]:
        """Their ids."""

    def close(self) -> None:
        """End them."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row of the benchmark."""

    name: str
    title: str
    module: str
    """In engines/."""
    streams: bool = True
    """Hears chunk by chunk; otherwise it gathers the whole utterance, and only then begins to work."""
    ours: bool = True
    """Runs in this program's environment; the baselines may have one of their own."""


CONFIGURATIONS = {
    configuration.name: configuration
    for configuration in (
        Configuration("onnx-fp32", "ONNX Runtime, float32", "onnx"),
        Configuration("onnx-int8", "ONNX Runtime, static int8", "onnx"),
        Configuration("tflite-int8", "the bundle on the CPU, int8", "tflite"),
        Configuration("two-pass", "both passes on the CPU, int8", "two_pass"),
        Configuration("accurate", "the same, longer segments", "two_pass"),
        Configuration("coral", "the bundle on the Edge TPU", "coral"),
        Configuration("moonshine", "Moonshine tiny", "moonshine", streams=False, ours=False),
        Configuration("whisper", "Whisper tiny.en, int8", "whisper", streams=False, ours=False),
        Configuration("pocketsphinx", "PocketSphinx", "pocketsphinx", ours=False),
        Configuration("trt", "ONNX Runtime on TensorRT, float32", "tensorrt"),
        Configuration("webgpu", "ORT Web, float32", "webgpu"),
    )
}


def engine_module(configuration: str) -> Any:
    """The file in engines/ behind a configuration."""
    return importlib.import_module(f"device.bench.engines.{CONFIGURATIONS[configuration].module}")


def not_installed(install: str, *modules: str) -> str:
    """What to install where one of `modules` cannot be imported; otherwise nothing.

    >>> not_installed("numpy", "numpy"), not_installed("a-b==1", "no_such_module")
    ('', 'not installed; pip install a-b==1, here or in the environment that --baselines names')
    """
    if all(find_spec(module) for module in modules):
        return ""
    return f"not installed; pip install {install}, here or in the environment that --baselines names"
