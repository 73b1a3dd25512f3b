"""The source's own model in ONNX Runtime on the CPU: float32, or its encoder quantized by ONNX Runtime's own tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.benchmark.engine import Engine, Job
from device.benchmark.engines import stream
from models.bundle import Bundle, FrontEnd

PACKAGES = ("onnxruntime",)


def missing(job: Job) -> str:
    if reason := stream.missing_comparison(job):
        return reason
    if not Bundle.open(job.comparison, verify=False).has("onnx_encoder"):
        return f"{job.comparison} has no ONNX encoder; python convert/build.py --comparison {job.comparison}"
    return ""


def load(job: Job) -> Engine:
    from device.decoder import Decoder
    from device.recognizer import Recognizer

    bundle = stream.opened(job.comparison, job)
    role = "onnx_encoder_int8" if job.configuration == "onnx-int8" else "onnx_encoder"
    acoustic = OnnxModel(bundle.path(role), bundle.path("onnx_head"), bundle.description.front_end, job.threads)
    recognizer = Recognizer(bundle, acoustic, Decoder.of(bundle), live=job.live)
    return stream.Stream(recognizer, stream.files(bundle, role, "onnx_head"))


class OnnxModel:
    """Stands where `device.encoder.Encoder` does: log-mel windows in, log posteriors out."""

    def __init__(self, encoder: Path, head: Path, front_end: FrontEnd, threads: int) -> None:
        self._front_end = front_end
        self._encoder, self._head = _session(encoder, threads), _session(head, threads)

    def hidden(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel [frames, mels] to hidden frames [frames / stride, width]."""
        f = self._front_end
        x = (np.maximum(mel, np.float32(f.feature_floor)) - np.float32(f.mean)) / np.float32(f.scale)
        hidden: NDArray[np.float32] = _run(self._encoder, x.T[None])[0].T
        return hidden

    def head(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Hidden frames [frames / stride, width] to log posteriors [frames / stride, tokens]."""
        log_probs: NDArray[np.float32] = _run(self._head, hidden.T[None])[0]
        return log_probs


def _session(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    answer: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})[0]
    return answer
