"""Checks that the encoder fits the Edge TPU and that int8 costs little, on real speech; measures what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import agreement, layers, quality_plot, speech, tflite
from convert.edgetpu.mapping import Prediction, predict
from convert.errors import QualityError
from models.bundle import Bundle, FrontEnd, Window
from models.manifest import Manifest

Float = NDArray[np.float32]
ROOT = Path(__file__).resolve().parents[1]
MAX_PARAMETERS = int(6.9 * (1 << 20))  # bytes; on-chip memory left for parameters, see convert/edgetpu/budget.py
MAX_WER_COST = 0.010  # WER of int8 less that of float32
MAX_CHANGED_COST = 0.04  # share of tokens that int8 changes against the source model, less that of float32 in windows
MAX_CHANGED = 0.25  # share of tokens that int8 changes against float32 in single windows, where no speech is installed
HEARS = 0.5  # WER above which a model recognises too little for its words to say what int8 costs
PLOTTED = 4  # windows that the layers' errors are measured on


def mapping(encoder: Path) -> Prediction:
    """The prediction for `encoder`; QualityError names operator, tensor and rule of what breaks one."""
    prediction = predict(encoder.read_bytes())
    if prediction.refusals:
        raise QualityError(f"the Edge TPU compiler would refuse the encoder: {prediction.refusals[0]}")
    broken = prediction.unmapped
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise QualityError(f"the encoder does not fit the Edge TPU: {broken[0]}{more}; {broken[0].advice}")
    if not prediction.ops:
        raise QualityError("the encoder has no operator")
    size = prediction.budget.parameters.likely
    if size > MAX_PARAMETERS:
        raise QualityError(
            f"the encoder's parameters take {size / (1 << 20):.1f} MiB on the chip, more than "
            f"{MAX_PARAMETERS / (1 << 20):.1f}; make it smaller"
        )
    return prediction


class Recogniser:
    """Log-mel frames to posteriors through encoder and head in windows, on the CPU; int8 or float32 encoder."""

    def __init__(self, encoder: Path, head: Path, front_end: FrontEnd, window: Window) -> None:
        self._encoder, self._head = tflite.interpreter(encoder), tflite.interpreter(head)
        self._front_end, self._window = front_end, window
        self._silence = (front_end.feature_floor - front_end.mean) / front_end.scale

    def __call__(self, frames: Float) -> Float:
        """Posteriors [T / stride, tokens] of normalised log-mel [T, mels]."""
        kept = [self._posteriors(piece)[keep] for piece, keep in speech.windows(frames, self._window, self._silence)]
        return np.concatenate(kept)

    def _posteriors(self, piece: Float) -> Float:
        hidden = _run(self._encoder, piece)
        answer = _run(self._head, hidden)
        return answer.reshape(answer.shape[-2:])


def _run(interpreter: Any, x: Float) -> Float:
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    value = x.reshape(source["shape"])
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        value = np.clip(np.rint(value / scale) + zero, -128, 127)
    interpreter.set_tensor(source["index"], value.astype(source["dtype"]))
    interpreter.invoke()
    answer: Float = interpreter.get_tensor(target["index"])
    if target["dtype"] == np.int8:
        scale, zero = target["quantization"]
        answer = (answer.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return answer


@dataclass(frozen=True)
class Subject:
    """What is compared: the bundle under test, its twin with the source's float32 weights, the source itself."""

    manifest: Manifest
    model: Path  # the source, ONNX
    int8: Bundle
    float32: Bundle
    silent: tuple[int, ...]  # tokens that are no sound: blank and word boundary


def measure(subject: Subject, recordings: speech.Speech, calibration: Path, quantized: Path) -> dict[str, Any]:
    """Every number of the quality report; words only where there are recordings with transcripts."""
    chosen = subject.manifest
    heard = list(_utterances(subject, recordings, calibration))
    small, large = (
        Recogniser(b.path("encoder"), b.path("head"), chosen.front_end, chosen.window)
        for b in (subject.int8, subject.float32)
    )
    windowed = [large(frames) for frames, _ in heard]
    int8 = [small(frames) for frames, _ in heard]
    whole = [w for _, w in heard if w is not None]
    report: dict[str, Any] = {
        "speech": recordings.source,
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
    report["words"] = _words(subject, recordings)
    report["layers"] = [asdict(layer) for layer in layers.errors(quantized, _windows(subject, calibration)[:PLOTTED])]
    return report


def _windows(subject: Subject, calibration: Path) -> Float:
    return speech.calibration_windows(calibration, subject.manifest.window.frames, subject.manifest.front_end.mels)


def _utterances(subject: Subject, recordings: speech.Speech, calibration: Path) -> Iterator[tuple[Float, Float | None]]:
    """(log-mel as it enters the encoder, the source's posteriors over the whole utterance if it can be asked)."""
    chosen = subject.manifest
    if recordings.folder is None:
        yield from ((window, None) for window in _windows(subject, calibration))
        return
    with np.load(subject.int8.path("front_end")) as arrays:
        filters = arrays["dft"], arrays["mel"]
    source = _source(subject.model, chosen)
    for file in speech.recordings(recordings.folder):
        samples = speech.read(file, chosen.front_end.sample_rate)
        frames = speech.normalised(speech.log_mel(samples, chosen.front_end, *filters), chosen.front_end)
        yield frames, source(samples) if source else None


def _source(model: Path, chosen: Manifest) -> Callable[[Float], Float] | None:
    """The source model over a whole utterance; None where it does not take a waveform."""
    import onnxruntime

    cut = chosen.cut
    if not cut.waveform:
        return None
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def posteriors(samples: Float) -> Float:
        feeds: dict[str, Any] = {cut.waveform: samples[None]}
        if cut.lengths:
            feeds[cut.lengths] = np.array([len(samples)], np.int64)
        answer: Float = session.run([cut.output], feeds)[0][0]
        return answer

    return posteriors


def _words(subject: Subject, recordings: speech.Speech) -> dict[str, Any]:
    """Word errors of both bundles by `dictate eval`; {"skipped": reason} where they cannot be had."""
    if recordings.folder is None:
        return {"skipped": "no recordings with transcripts"}
    counts: dict[str, Any] = {}
    for name, made in (("int8", subject.int8), ("float32", subject.float32)):
        answer = subprocess.run(
            [
                sys.executable,
                "-m",
                "device.cli",
                "eval",
                str(recordings.folder),
                "--bundle",
                str(made.root),
                "--backend",
                "cpu",
                "--json",
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
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
        if words["float32"] < HEARS and cost > allowed:
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


def summary(report: Mapping[str, Any]) -> str:
    """The report for people, a few lines."""
    near, words = report["int8_against_float32"], report["words"]
    lines = [
        f"Checked on {report['speech']} ({report['seconds']:.0f} s)",
        f"int8 against float32: {100 * near['frames']:.1f} % of frames agree, {100 * near['changed']:.1f} % of "
        f"{near['tokens']} tokens changed",
    ]
    if report["int8_against_source"]:
        lines.append(
            f"against the source over whole utterances: float32 in windows changes "
            f"{100 * report['float32_against_source']['changed']:.1f} % of the tokens, int8 "
            f"{100 * report['int8_against_source']['changed']:.1f} %"
        )
    lines.append(
        f"WER not measured: {words['skipped']}"
        if "skipped" in words
        else f"WER {100 * words['int8']:.1f} % with int8, {100 * words['float32']:.1f} % with float32, "
        f"{words['count']} words"
    )
    return "\n".join(lines)


def save(report: dict[str, Any], out: Path) -> None:
    """Writes quality.json and quality.png to `out`."""
    (out / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
    quality_plot.plot(
        [layers.Layer(**layer) for layer in report["layers"]],
        f"int8 encoder, {report['int8_against_float32']['frames']:.1%} of frames as in float32",
        out / "quality.png",
    )
