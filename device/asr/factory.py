"""Put a recogniser together from a bundle."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from device.asr.attention_decoder import AttentionDecoder
from device.asr.decoder import Decoder
from device.asr.effort import Budget
from device.asr.encoder import Encoder
from device.asr.endpointing import Endpointing
from device.asr.recognizer import Recognizer, Stage
from device.asr.rescoring import Rescorer
from device.asr.second_pass import SecondPass, in_pieces
from device.asr.two_pass import TwoPass
from device.config.schema import Effort, Mode
from device.inference.accelerator import Accelerator, Backend, BackendContext, Choice, Models
from device.inference.backends import choose
from device.inference.onnx_model import CPU, OnnxModel
from device.inference.shapes import Shapes
from models.bundle import Bundle, BundleError, Search
from models.pieces import Invoke
from models.transformer_bundle import TransformerBundle

SECOND_PASS_SOFT_LIMIT = 10.0
"""Seconds; a segment of the second pass that is longer ends at the next short pause: longer is better up to 10 s."""

ACCURATE_TRAILING_SILENCE = 1.5
"""Seconds; shorter pauses do not end a segment in the mode `accurate`."""


@dataclass(frozen=True, slots=True)
class Second:
    """The second pass: its bundle, how it is to be used, and the user's words as they are written."""

    bundle: TransformerBundle
    accurate: bool = False
    effort: Effort = "auto"
    words: tuple[str, ...] = ()

    def endpointing(self, wanted: Endpointing) -> Endpointing:
        """Where its segments end: as wanted, but not so late that they get too long for it."""
        soft_limit = min(wanted.soft_limit, SECOND_PASS_SOFT_LIMIT)
        return replace(
            wanted,
            soft_limit=soft_limit,
            trailing_silence=max(wanted.trailing_silence, ACCURATE_TRAILING_SILENCE if self.accurate else 0.0),
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A recogniser, and what runs its encoder."""

    recognizer: Recognizer | TwoPass
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
        self.shapes = [Shapes((1, 1, frames, mels), (1, 1, steps, width))]

    def invoke(self, window: NDArray[Any], model: int = 0) -> NDArray[Any]:
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
    second: Second | None = None,
    background: bool = False,
) -> Pipeline:
    """Loads a bundle's models and search graph; `backend` is auto, coral or cpu (device/inference/backends).

    With `second`, its segments are decoded again by the second pass, whose pieces share the Coral with the encoder
    where both bundles were compiled; in the `background`, while the first pass goes on listening.
    """
    ends = endpointing or Endpointing()
    if second:
        ends, live = second.endpointing(ends), live and not second.accurate
    chosen, pieces = accelerators(bundle, second.bundle if second else None, backend, threads)
    encoder = Encoder(bundle, chosen.accelerator, threads)
    decoder = Decoder.of(bundle, words, search)
    first = Recognizer(bundle, encoder, decoder, live, ends, stage, word_times, posteriors=second is not None)
    heard: Recognizer | TwoPass = first
    if second:
        again = _second_pass(second, pieces, threads, stage)
        budget = Budget("best" if second.accurate else second.effort)
        rescorer = Rescorer(decoder.lexicon, decoder.language, bundle.description.blank, bundle.description.boundary)
        executor = _started() if background else None
        heard = TwoPass(first, again, ends, budget, time.monotonic, second.words, rescorer, executor)
    return Pipeline(heard, chosen.accelerator, chosen.reason, chosen.degraded)


def _started() -> ThreadPoolExecutor:
    """A thread for the second pass, which runs from now on where the caller may run."""
    executor = ThreadPoolExecutor(1, "second pass")
    executor.submit(lambda: None).result()
    return executor


def _second_pass(second: Second, pieces: dict[str, Invoke], threads: int, stage: Stage) -> SecondPass:
    bundle = second.bundle
    linear = in_pieces(bundle.pieces(), bundle.description.frames, pieces)
    return SecondPass(bundle.weights(), linear, AttentionDecoder.of(bundle, second.words, threads), stage)


def accelerators(
    bundle: Bundle, second: TransformerBundle | None, backend: Backend, threads: int
) -> tuple[Choice, dict[str, Invoke]]:
    """What runs the bundle's encoder and, by name, the pieces of the second pass.

    They share one accelerator, unless only one of the two bundles was compiled: then the other's run on the CPU.
    """
    names = second.names if second else []
    plain = [second.piece(name) for name in names] if second else []
    compiled = [second.piece(name, True) for name in names] if second and second.description.edge_tpu.compiled else None
    if bundle.description.encoder_input.dtype == "float32":
        encoder = FloatEncoder(bundle.path("onnx_encoder"), threads)
        chosen = Choice(encoder, "the CPU: the encoder is float32", backend == "coral")
    else:
        own = bundle.optional("encoder_edgetpu")
        if not plain or (own is None) == (compiled is None):
            coral = [own, *(compiled or [])] if own else None
            chosen = choose(backend, Models([bundle.path("encoder"), *plain], coral), BackendContext(threads))
            return chosen, _invokes(chosen.accelerator, names, first=1)
        chosen = choose(backend, Models([bundle.path("encoder")], [own] if own else None), BackendContext(threads))
    pieces = choose(backend, Models(plain, compiled), BackendContext(threads)).accelerator if plain else None
    return chosen, _invokes(pieces, names, first=0) if pieces else {}


def _invokes(accelerator: Accelerator, names: list[str], first: int) -> dict[str, Invoke]:
    return {name: partial(accelerator.invoke, model=model) for model, name in enumerate(names, first)}


def second_pass(mode: Mode, folder: Path, effort: Effort, warn: Callable[[str], None]) -> Second | None:
    """The second pass for `mode`; None, and a line to `warn` where it is wanted but cannot be had."""
    if mode == "streaming":
        return None
    try:
        return Second(TransformerBundle.open(folder), mode == "accurate", effort)
    except BundleError as error:
        warn(f"the second pass is left out, the text is that of the first: {error}")
        return None


def say_backend(command: str, pipeline: Pipeline, backend: str) -> None:
    """Say on standard error where less is at work than was asked for, or is plugged in; no Coral is no fault."""
    if pipeline.degraded:
        again = "; it is tried again every few minutes" if hasattr(pipeline.accelerator, "missed") else ""
        wanted = "--backend coral" if backend == "coral" else "the Coral does not work"
        print(f"dictate {command}: {wanted}: the encoder runs on the CPU{again}: {pipeline.why}", file=sys.stderr)
