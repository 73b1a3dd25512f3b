"""The quality report of a build for people, a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
