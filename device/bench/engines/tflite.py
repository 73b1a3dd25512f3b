"""The bundle on the CPU: its int8 encoder in TensorFlow Lite, its head in ONNX Runtime."""

from __future__ import annotations

from device.bench.engine import Engine, Job
from device.bench.engines import stream

PACKAGES = ("ai-edge-litert", "tflite-runtime")


def missing(job: Job) -> str:
    return ""


def load(job: Job) -> Engine:
    from device.asr import factory

    bundle = stream.opened(job.bundle, job)
    pipeline = factory.recognizer(bundle, "cpu", job.threads, live=job.live)
    return stream.StreamingEngine(pipeline.recognizer, stream.files(bundle, "encoder", "head"))
