"""TensorFlow Lite on the CPU: the bundle, and the source's float32 weights in a bundle to compare with."""

from __future__ import annotations

from device.benchmark.engine import Engine, Job
from device.benchmark.engines import stream

PACKAGES = ("ai-edge-litert", "tflite-runtime")


def missing(job: Job) -> str:
    return stream.missing_comparison(job) if job.configuration == "tflite-fp32" else ""


def load(job: Job) -> Engine:
    from device import assemble

    bundle = stream.opened(job.comparison if job.configuration == "tflite-fp32" else job.bundle, job)
    ears = assemble.recognizer(bundle, "cpu", job.threads, live=job.live)
    return stream.Stream(ears.recognizer, stream.files(bundle, "encoder", "head"))
