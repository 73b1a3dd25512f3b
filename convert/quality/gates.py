"""Measures on real speech what int8 costs, and checks that it is little."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.onnx import runtime
from convert.quality import agreement, plot, recordings, sqnr
from convert.quantization import tflite
from convert.quantization.calibration import calibration_windows
from models import python
from models.bundle import Bundle
from models.manifest import Manifest

Float = NDArray[np.float32]
MAX_WER_COST = 0.010  # WER of int8 less that of float32
MAX_CHANGED_COST = 0.04  # share of tokens that int8 changes against the source model, less that of float32 in windows
MAX_CHANGED = 0.25  # share of tokens that int8 changes against float32 in single windows, where no speech is installed
HEARS = 0.5  # WER from which on a model, or its manifest, is of no use
PLOTTED = 4  # windows that the layers' errors are measured on


class Recogniser:
    """Log-mel frames to posteriors through a bundle's encoder, int8 or float32, and head in windows, on the CPU."""

    def __init__(self, bundle: Bundle) -> None:
        description = bundle.description
        self._encode = _int8(bundle.path("encoder")) if bundle.has("encoder") else _float(bundle.path("onnx_encoder"))
        self._head = _float(bundle.path("head"))
        self._window, front_end = description.window, description.front_end
        self._silence = (front_end.feature_floor - front_end.mean) / front_end.scale

    def __call__(self, frames: Float) -> Float:
        """Posteriors [T / stride, tokens] of normalised log-mel [T, mels]."""
        kept = [
            self._posteriors(piece)[keep] for piece, keep in recordings.windows(frames, self._window, self._silence)
        ]
        return np.concatenate(kept)

    def _posteriors(self, piece: Float) -> Float:
        log_probs: Float = self._head(self._encode(piece.T[None]))[0]
        return log_probs


def _float(model: Path) -> Callable[[Float], Float]:
    """An ONNX part, [1, C, T] to its answer."""
    session = runtime.session(model)
    return lambda x: runtime.run(session, x)[0]


def _int8(model: Path) -> Callable[[Float], Float]:
    """The int8 encoder as if it were the ONNX one: log-mel [1, mels, frames] to hidden [1, C, frames / stride]."""
    interpreter = tflite.interpreter(model)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def encode(x: Float) -> Float:
        scale, zero = source["quantization"]
        value = np.clip(np.rint(x.swapaxes(1, 2) / scale) + zero, -128, 127)
        interpreter.set_tensor(source["index"], value.reshape(source["shape"]).astype(np.int8))
        interpreter.invoke()
        scale, zero = target["quantization"]
        answer: NDArray[np.int8] = interpreter.get_tensor(target["index"])
        hidden: Float = (answer[0].swapaxes(1, 2).astype(np.float32) - np.float32(zero)) * np.float32(scale)
        return hidden

    return encode


@dataclass(frozen=True)
class Subject:
    """What is compared: the bundle under test, its twin with the source's float32 weights, the source itself."""

    manifest: Manifest
    model: Path  # the source, ONNX
    int8: Bundle
    float32: Bundle
    silent: tuple[int, ...]  # tokens that are no sound: blank and word boundary


def measure(subject: Subject, speech: recordings.Speech, calibration: Path, quantized: Path) -> dict[str, Any]:
    """Every number of the quality report; words only where there are recordings with transcripts."""
    chosen = subject.manifest
    heard = list(_utterances(subject, speech, calibration))
    small, large = Recogniser(subject.int8), Recogniser(subject.float32)
    windowed = [large(frames) for frames, _ in heard]
    int8 = [small(frames) for frames, _ in heard]
    whole = [w for _, w in heard if w is not None]
    report: dict[str, Any] = {
        "speech": speech.source,
        "utterances": len(heard),
        "seconds": round(sum(len(f) for f, _ in heard) * chosen.front_end.hop / chosen.front_end.sample_rate, 1),
    }
    for name, reference, other in (
        ("int8_against_float32", windowed, int8),
        ("float32_against_source", whole, windowed),
        ("int8_against_source", whole, int8),
    ):
        report[name] = (
            asdict(agreement.compare(zip(reference, other, strict=True), subject.silent)) if reference else None
        )
    report["words"] = _words(subject, speech)
    report["layers"] = [asdict(layer) for layer in sqnr.errors(quantized, _windows(subject, calibration)[:PLOTTED])]
    return report


def _windows(subject: Subject, calibration: Path) -> Float:
    return calibration_windows(calibration, subject.manifest.window.frames, subject.manifest.front_end.mels)


def _utterances(subject: Subject, speech: recordings.Speech, calibration: Path) -> Iterator[tuple[Float, Float | None]]:
    """(log-mel as it enters the encoder, the source's posteriors over the whole utterance if it can be asked)."""
    chosen = subject.manifest
    if speech.folder is None:
        yield from ((window, None) for window in _windows(subject, calibration))
        return
    with np.load(subject.int8.path("front_end")) as arrays:
        filters = arrays["dft"], arrays["mel"]
    source = _source(subject.model, chosen)
    for file in recordings.recordings(speech.folder):
        samples = recordings.read(file, chosen.front_end.sample_rate)
        frames = recordings.normalised(recordings.log_mel(samples, chosen.front_end, *filters), chosen.front_end)
        yield frames, source(samples) if source else None


def _source(model: Path, chosen: Manifest) -> Callable[[Float], Float] | None:
    """The source model over a whole utterance; None where it does not take a waveform."""
    cut = chosen.cut
    if not cut.waveform:
        return None
    session = runtime.session(model)

    def posteriors(samples: Float) -> Float:
        feeds: dict[str, Any] = {cut.waveform: samples[None]}
        if cut.lengths:
            feeds[cut.lengths] = np.array([len(samples)], np.int64)
        answer: Float = session.run([cut.output], feeds)[0][0]
        return answer

    return posteriors


def _words(subject: Subject, speech: recordings.Speech) -> dict[str, Any]:
    """Word errors of both bundles by `dictate eval`; {"skipped": reason} where they cannot be had."""
    if speech.folder is None:
        return {"skipped": "no recordings with transcripts"}
    counts: dict[str, Any] = {}
    for name, made in (("int8", subject.int8), ("float32", subject.float32)):
        answer = subprocess.run(
            python.module(
                "device.cli",
                "eval",
                str(speech.folder),
                "--bundle",
                str(made.root),
                "--backend",
                "cpu",
                "--json",
            ),
            env=python.environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if answer.returncode:
            said = [line for line in answer.stderr.splitlines() if line.strip()]
            return {"skipped": f"`dictate eval` failed: {said[-1] if said else answer.returncode}"}
        report = json.loads(answer.stdout)
        counts[name] = report["wer"]
        counts["count"] = report["words"]
    return counts


def chance(words: Mapping[str, Any]) -> float:
    """How far apart two error rates over so many words may be by chance: one-sided 5 %, errors taken as Poisson.

    >>> round(chance({"int8": 0.1, "float32": 0.1, "count": 1_000}), 3)
    0.023
    """
    errors = (words["int8"] + words["float32"]) * words["count"]
    return float(1.64 * errors**0.5 / words["count"])


def failures(report: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each gate that the build does not pass."""
    words, source, windowed = report["words"], report["int8_against_source"], report["float32_against_source"]
    if "skipped" not in words:
        cost = words["int8"] - words["float32"]
        allowed = MAX_WER_COST + chance(words)
        if words["float32"] >= HEARS:
            yield (
                f"the model recognises too little: {100 * words['float32']:.1f} % WER in float32 on {words['count']} "
                "words; check the manifest's front_end, filters, tokens and cut"
            )
        elif cost > allowed:
            yield (
                f"int8 costs {100 * cost:.1f} points of WER ({100 * words['int8']:.1f} % against "
                f"{100 * words['float32']:.1f} % in {words['count']} words), at most {100 * allowed:.1f} allowed"
            )
    if source and windowed:
        cost = source["changed"] - windowed["changed"]
        if cost > MAX_CHANGED_COST:
            yield (
                f"int8 changes {100 * source['changed']:.1f} % of the tokens against the source, float32 in windows "
                f"{100 * windowed['changed']:.1f} %; at most {100 * MAX_CHANGED_COST:.0f} points more are allowed"
            )
    elif (changed := report["int8_against_float32"]["changed"]) > MAX_CHANGED:
        yield (
            f"int8 changes {100 * changed:.1f} % of the tokens against float32, at most {100 * MAX_CHANGED:.0f} % "
            "are allowed"
        )


def save(report: dict[str, Any], out: Path) -> None:
    """Writes quality.json and quality.png to `out`."""
    (out / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
    plot.plot(
        [sqnr.LayerError(**layer) for layer in report["layers"]],
        f"int8 encoder, {report['int8_against_float32']['frames']:.1%} of frames as in float32",
        out / "quality.png",
    )
