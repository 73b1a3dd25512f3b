"""The source's own model in ONNX Runtime on the CPU: float32, or its encoder quantized by ONNX Runtime's own tool."""

from __future__ import annotations

from device.bench.engine import Engine, Job
from device.bench.engines import stream
from models.bundle import Bundle

PACKAGES = ("onnxruntime",)


def missing(job: Job) -> str:
    if reason := stream.missing_comparison(job):
        return reason
    if not Bundle.open(job.comparison, verify=False).has("onnx_encoder"):
        return f"{job.comparison} has no ONNX encoder; python convert/build.py --comparison {job.comparison}"
    return ""


def load(job: Job) -> Engine:
    return on(job, "onnx_encoder_int8" if job.configuration == "onnx-int8" else "onnx_encoder", "CPUExecutionProvider")


def on(job: Job, role: str, provider: str) -> Engine:
    """The model with the encoder of `role`, encoder and head run by one of ONNX Runtime's execution providers."""
    from device.asr.decoder import Decoder
    from device.asr.encoder import Encoder
    from device.asr.factory import FloatEncoder
    from device.asr.recognizer import Recognizer

    bundle = stream.opened(job.comparison, job)
    encoder = Encoder(bundle, FloatEncoder(bundle.path(role), job.threads, provider), job.threads, provider)
    return stream.StreamingEngine(
        Recognizer(bundle, encoder, Decoder.of(bundle), live=job.live), stream.files(bundle, role, "head")
    )
