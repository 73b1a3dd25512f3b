"""A transformer's quality report: what of it is not good enough, and the whole of it in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MAX_ERROR = 0.05  # of the encoder's output, root of the mean square, as a share of float's
MAX_WER_COST = 0.03  # WER of int8 less that of float


def failures(report: Mapping[str, Any]) -> Iterator[str]:
    """What the report has that is not good enough, a sentence each."""
    error, words = report["encoder_error"]["mean"], report["words"]
    if not error <= MAX_ERROR:
        yield f"int8 changes the encoder's output by {error:.1%}, more than {MAX_ERROR:.0%}"
    if "wrong" in words:
        cost = (words["wrong"]["int8"] - words["wrong"]["float32"]) / max(1, words["spoken"])
        if cost > MAX_WER_COST:
            yield f"int8 costs {cost:.1%} of the words, more than {MAX_WER_COST:.0%}"


def summary(report: Mapping[str, Any]) -> str:
    """The report in a line for people."""
    error, words = report["encoder_error"], report["words"]
    line = f"encoder error {error['mean']:.1%} (most {error['most']:.1%}) on {report['seconds']:.0f} s of speech"
    if "wrong" in words:
        line += (
            f"; words wrong of {words['spoken']}: {words['wrong']['int8']} int8, {words['wrong']['float32']} float32"
        )
    return line
