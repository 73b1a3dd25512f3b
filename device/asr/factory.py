"""Put a recogniser together from a bundle."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from device.asr.endpointing import Endpointing
from device.asr.recognizer import Recognizer, Stage
from device.inference.accelerator import Accelerator, Backend, Choice, choose
from device.inference.onnx_model import CPU, OnnxModel
from models.bundle import Bundle, Search


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A recogniser, and what runs its encoder."""

    recognizer: Recognizer
    accelerator: Accelerator
    why: str
    degraded: bool = False
    """Whether the encoder runs on the CPU although a Coral was asked for, or is plugged in."""


class FloatEncoder:
    """A float32 encoder in ONNX behind the accelerator's interface, to measure what int8 costs: it takes real values.

    The file has channels first, log-mel [1, mels, frames] to hidden [1, C, frames / stride]; the interface has them
    last, as the int8 encoder.
    """

    name = "cpu-float32"

    def __init__(self, path: Path, threads: int, provider: str = CPU) -> None:
        """`provider` is one of ONNX Runtime's execution providers."""
        self._model = OnnxModel(path, threads, provider)
        (_, mels, frames), (_, width, steps) = self._model.input_shape, self._model.output_shape
        self.input_shape, self.output_shape = (1, 1, frames, mels), (1, 1, steps, width)

    def invoke(self, window: NDArray[Any]) -> NDArray[Any]:
        return self._model(window[0].swapaxes(1, 2)).swapaxes(1, 2)[None]

    def close(self) -> None:
        pass


def recognizer(
    bundle: Bundle,
    backend: Backend = "auto",
    threads: int = 1,
    live: bool = False,
    endpointing: Endpointing | None = None,
    search: Search | None = None,
    words: tuple[tuple[str, tuple[int, ...]], ...] = (),
    stage: Stage = lambda name: nullcontext(),
    word_times: bool = False,
) -> Pipeline:
    """Loads a bundle's models and search graph; `backend` is auto, coral or cpu (device/inference/accelerator.py)."""
    chosen = accelerator(bundle, backend, threads)
    encoder = Encoder(bundle, chosen.accelerator, threads)
    decoder = Decoder.of(bundle, words, search)
    return Pipeline(
        Recognizer(bundle, encoder, decoder, live, endpointing, stage, word_times),
        chosen.accelerator,
        chosen.reason,
        chosen.degraded,
    )


def accelerator(bundle: Bundle, backend: Backend, threads: int) -> Choice:
    """What runs the bundle's encoder."""
    if bundle.description.encoder_input.dtype == "float32":
        encoder = FloatEncoder(bundle.path("onnx_encoder"), threads)
        return Choice(encoder, "the CPU: the encoder is float32", backend == "coral")
    return choose(backend, bundle.path("encoder"), bundle.optional("encoder_edgetpu"), threads=threads)


def say_backend(command: str, pipeline: Pipeline, backend: str) -> None:
    """Say on standard error where less is at work than was asked for, or is plugged in; no Coral is no fault."""
    if pipeline.degraded:
        again = "; it is tried again every few minutes" if hasattr(pipeline.accelerator, "missed") else ""
        wanted = "--backend coral" if backend == "coral" else "the Coral does not work"
        print(f"dictate {command}: {wanted}: the encoder runs on the CPU{again}: {pipeline.why}", file=sys.stderr)
