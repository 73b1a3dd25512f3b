"""The bundle with its encoder on the Edge TPU, where there is one."""

from __future__ import annotations

from device.bench.engine import Engine, Job
from device.bench.engines import stream
from models.bundle import Bundle

PACKAGES = ("ai-edge-litert", "tflite-runtime")


def missing(job: Job) -> str:
    """The first thing that `dictate doctor` finds amiss on the way from the USB plug to the encoder."""
    from device.diagnostics.check import CheckState
    from device.diagnostics.edgetpu import coral_checks

    model = Bundle.open(job.bundle, verify=False).optional("encoder_edgetpu")
    amiss = [check for check in coral_checks("coral", [model] if model else None) if check.state is CheckState.BAD]
    if not amiss:
        return ""
    advice = f"; {amiss[0].advice}" if amiss[0].advice else ""
    return f"no Edge TPU: {amiss[0].name}: {amiss[0].detail}{advice}"


def load(job: Job) -> Engine:
    from device.asr import factory
    from device.inference.edgetpu.client import CoralError

    bundle = stream.opened(job.bundle, job)
    pipeline = factory.recognizer(bundle, "coral", job.threads, live=job.live)
    if pipeline.accelerator.name != "coral":
        raise CoralError(pipeline.why)
    return stream.StreamingEngine(pipeline.recognizer, stream.files(bundle, "encoder_edgetpu", "head"))
