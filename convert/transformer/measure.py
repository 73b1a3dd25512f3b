"""Measures on speech what int8 costs a transformer's encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.quality import agreement
from convert.quality.recordings import TRANSCRIPTS, Speech, read
from convert.quantization import tflite
from convert.transformer.decode import Decoder
from convert.transformer.weights import Encoder
from models import moonshine, pieces
from models.pieces import Int8, Piece

Float = NDArray[np.float32]


class Int8Pieces:
    """The int8 pieces on this machine's CPU, as models.moonshine.encode calls them."""

    def __init__(self, models: Mapping[str, Path], around: Mapping[str, Piece], frames: int) -> None:
        self._invoke = {name: _invoke(path) for name, path in models.items()}
        self._around, self._frames = around, frames

    def __call__(self, name: str, x: Float) -> Float:
        return self._around[name].run(x, self._frames, self._invoke[name])


def _invoke(model: Path) -> pieces.Invoke:
    interpreter = tflite.interpreter(model)
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def invoke(x: Int8) -> Int8:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        answer: Int8 = interpreter.get_tensor(target)
        return answer

    return invoke


def measure(
    encoder: Encoder, int8: Int8Pieces, decoder: Decoder, speech: Speech, otherwise: Sequence[Path]
) -> dict[str, Any]:
    """The quality report: the encoder's error, and words where there are recordings with transcripts.

    `otherwise` is the speech that the error is measured on where there are none.
    """
    folder = speech.folder
    said = _transcripts(folder) if folder else dict.fromkeys(otherwise, "")
    errors, words = [], 0
    wrong = {"float32": 0, "int8": 0}
    seconds = 0.0
    for path, transcript in said.items():
        samples = read(path, moonshine.SAMPLE_RATE)
        length = len(samples) / moonshine.SAMPLE_RATE
        hidden = {"float32": encoder(samples), "int8": encoder(samples, int8)}
        errors.append(relative(hidden["int8"], hidden["float32"]))
        seconds += length
        expected = spoken(transcript)
        words += len(expected)
        for name in wrong if folder else ():
            wrong[name] += agreement.edits(*_numbered(expected, spoken(decoder(hidden[name], length))))
    return {
        "speech": speech.source if folder else "the calibration speech",
        "seconds": round(seconds, 1),
        "encoder_error": {"mean": float(np.mean(errors)), "most": max(errors)},
        "words": {"spoken": words, "wrong": wrong} if folder else {"skipped": "no recordings with transcripts"},
    }


def relative(answer: Float, expected: Float) -> float:
    """Root of the mean square error, as a share of what is expected."""
    return float(np.linalg.norm(answer - expected) / np.linalg.norm(expected))


def spoken(text: str) -> list[str]:
    """The words of a text without capitals and marks.

    >>> spoken("Don't stop, he said.")
    ["don't", 'stop', 'he', 'said']
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def _numbered(*texts: list[str]) -> list[list[int]]:
    """Words as numbers, the same for the same word."""
    known: dict[str, int] = {}
    return [[known.setdefault(word, len(known)) for word in words] for words in texts]


def _transcripts(folder: Path) -> dict[Path, str]:
    lines = (folder / TRANSCRIPTS).read_text(encoding="utf-8").splitlines()
    return {folder / name: text for name, _, text in (line.partition("\t") for line in lines if line.strip())}
