"""The source's float32 model through ONNX Runtime's TensorRT provider, on an NVIDIA GPU; the search is on the CPU."""

from __future__ import annotations

from device.bench.engine import Engine, Job
from device.bench.engines import onnx

PACKAGES = ("onnxruntime-gpu", "tensorrt")
PROVIDER = "TensorrtExecutionProvider"


def missing(job: Job) -> str:
    if reason := onnx.missing(job):
        return reason
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        return "no GPU: needs an NVIDIA GPU and, in place of onnxruntime, pip install onnxruntime-gpu tensorrt"
    return ""


def load(job: Job) -> Engine:
    return onnx.on(job, "onnx_encoder", PROVIDER)
