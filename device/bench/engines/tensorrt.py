"""TensorRT, a row of the article's table: it needs a GPU of NVIDIA's, which a Raspberry Pi has not got."""

from __future__ import annotations

from device.bench.engine import Engine, Job

PACKAGES = ()


def missing(job: Job) -> str:
    return "needs an NVIDIA GPU, CUDA and onnxruntime-gpu; a Pi cannot have them, so no engine is written"


def load(job: Job) -> Engine:
    raise NotImplementedError(missing(job))
