"""Both passes on the CPU: the bundle's streaming recogniser, and the second pass with its widest beam."""

from __future__ import annotations

from pathlib import Path

from device.bench.engine import Engine, Job
from device.bench.engines import stream
from models.bundle import BundleError
from models.transformer_bundle import TransformerBundle

PACKAGES = ("ai-edge-litert", "tflite-runtime", "onnxruntime")


def missing(job: Job) -> str:
    """What to do where there is no second bundle."""
    try:
        TransformerBundle.open(job.second_pass, verify=False)
    except BundleError:
        return f"no second pass in {job.second_pass or '?'}; python convert/build.py --model moonshine-tiny"
    return ""


def load(job: Job) -> Engine:
    from device.asr import factory

    bundle, second = stream.opened(job.bundle, job), TransformerBundle.open(job.second_pass)
    wanted = factory.Second(second, accurate=job.configuration == "accurate", effort="best")
    pipeline = factory.recognizer(bundle, "cpu", job.threads, live=job.live, second=wanted, background=job.live)
    files: list[Path] = [second.root / name for name in second.files if not name.endswith("_edgetpu.tflite")]
    return stream.StreamingEngine(pipeline.recognizer, [*stream.files(bundle, "encoder", "head"), *files])
