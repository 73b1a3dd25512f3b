"""ONNX Runtime Web on WebGPU, listed as not measured: it runs in a browser with a GPU, not in this program."""

from __future__ import annotations

from device.bench.engine import Engine, Job

PACKAGES = ()


def missing(job: Job) -> str:
    return "needs a browser with WebGPU and a GPU behind it, and ONNX Runtime Web; it cannot run in this program"


def load(job: Job) -> Engine:
    raise NotImplementedError(missing(job))
