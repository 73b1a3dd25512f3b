"""TensorRT, listed as not measured: it needs an NVIDIA GPU, which a Raspberry Pi cannot have."""

from __future__ import annotations

from device.bench.engine import Engine, Job

PACKAGES = ()


def missing(job: Job) -> str:
    return "needs an NVIDIA GPU, CUDA and onnxruntime-gpu; a Pi cannot have them, so no engine is written"


def load(job: Job) -> Engine:
    raise NotImplementedError(missing(job))
