"""Reads what edgetpu_compiler prints and logs, and turns its refusals into what to change.

The line formats are those of compilers 15.0 and 16.0 (v1 and v2.0 differ in one word, which is accepted).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from convert.edgetpu.predict import rules

_SUCCESS = re.compile(r"^Models? compiled successfully", re.MULTILINE)

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_ROW = re.compile(r"^(\S+) {2,}(\d+) {2,}(\S.*?)\s*$", re.MULTILINE)
_SIZE = r"([\d.]+)(B|KiB|MiB|GiB)\s*$"


@dataclass(frozen=True)
class Row:
    """One line of the operator table; `op` is the compiler's name, CUSTOM for any custom operator."""

    op: str
    count: int
    status: str

    @property
    def mapped(self) -> bool:
        return self.status == rules.MAPPED


@dataclass(frozen=True)
class Summary:
    """What a run printed. Sizes in bytes, as exact as the two decimals shown; None for a missing line."""

    version: str
    milliseconds: int | None
    input_bytes: int | None
    output_bytes: int | None
    cached_bytes: int | None
    cache_left_bytes: int | None
    streamed_bytes: int | None
    subgraphs: int | None
    operations: int | None
    tpu_operations: int | None
    cpu_operations: int | None
    rows: tuple[Row, ...]

    @property
    def table(self) -> Counter[tuple[str, str]]:
        """Count of operators by (operator, status)."""
        return table(self.rows)


def succeeded(text: str) -> bool:
    """Whether a run that printed `text` says that it made what it was to make."""
    return _SUCCESS.search(text) is not None


def section(text: str, model: Path) -> str:
    """What a run of several models printed of `model`, behind what it printed of all; all of it where it has no parts.

    A part begins with the line "Input model: PATH".
    """
    parts = re.split(r"(?m)^(?=Input model: )", text)
    own = [part for part in parts[1:] if Path(part.splitlines()[0].removeprefix("Input model: ")).stem == model.stem]
    return parts[0] + own[0] if own else text


def table(rows: tuple[Row, ...]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row.op, row.status] += row.count
    return counts


def parse_rows(text: str) -> tuple[Row, ...]:
    """The operator table of a run's standard output or of its .log file; empty if there is none."""
    return tuple(Row(op, int(count), status) for op, count, status in _ROW.findall(text) if op != "Operator")


def parse(text: str) -> Summary:
    """Read a run's whole standard output."""
    return Summary(
        version=_text(text, r"Edge TPU Compiler version (\S+)") or "",
        milliseconds=_number(text, r"Models? compiled successfully in (\d+) ms"),
        input_bytes=_bytes(text, "Input size"),
        output_bytes=_bytes(text, "Output size"),
        cached_bytes=_bytes(text, "On-chip memory used for caching model parameters"),
        cache_left_bytes=_bytes(text, "On-chip memory (?:remaining|available) for caching model parameters"),
        streamed_bytes=_bytes(text, "Off-chip memory used for streaming uncached model parameters"),
        subgraphs=_number(text, r"Number of Edge TPU subgraphs: (\d+)"),
        operations=_number(text, r"Total number of operations: (\d+)"),
        tpu_operations=_number(text, r"Number of operations that will run on Edge TPU: (\d+)"),
        cpu_operations=_number(text, r"Number of operations that will run on CPU: (\d+)"),
        rows=parse_rows(text),
    )


@dataclass(frozen=True)
class Refusal:
    """One way in which the compiler refuses a model: what it prints, and what to change."""

    pattern: str
    advice: str
    source: str


REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        r"Didn't find op for builtin opcode '(?P<op>\w+)' version '(?P<version>\d+)'",
        "{op} version {version} is newer than the compiler reads; convert with TensorFlow 2.15 or older, or "
        "rewrite that operator (`python -m convert.edgetpu check` names it)",
        "google-coral/edgetpu#631, #845; google-coral/libedgetpu#71",
    ),
    Refusal(
        r"Op builtin_code out of range: (?P<code>\d+)",
        "operator code {code} is newer than the compiler; replace that operator "
        "(`python -m convert.edgetpu check` names it)",
        "facts: a 2026 log with GELU",
    ),
    Refusal(
        r"Model not quantized",
        "the model is not quantized; quantize weights and activations to int8 with a representative data set",
        "google-coral/edgetpu#222, #290, #403",
    ),
    Refusal(
        r"dynamic-sized tensors",
        "the model has inputs of changing size; fix every dimension, batch 1, and convert again",
        "tensorflow/lite/core/subgraph.cc",
    ),
    Refusal(
        r"large activation tensors",
        "activations do not fit the tiles' memory (192 KiB each); shorten the window or use fewer channels",
        "google-coral/edgetpu#439",
    ),
    Refusal(
        r"Model failed in Tflite interpreter",
        "the compiler's own interpreter cannot load the model; remove custom operators that it does not know",
        "facts: an unresolved custom operator",
    ),
    Refusal(
        r"Model could not be parsed",
        "the compiler cannot read the file; convert with TensorFlow 2.15 or older",
        "google-coral/edgetpu#631",
    ),
    Refusal(
        r"Invalid model",
        "the compiler does not accept the model; look at `python -m convert.edgetpu check`",
        "google-coral/edgetpu#222",
    ),
    Refusal(
        r"Internal compiler error",
        "the compiler failed inside; compile again with search_delegate=True, which drops operators from the "
        "end until it succeeds and so finds the one at fault",
        "google-coral/edgetpu#104, #173",
    ),
    Refusal(
        r"Compilation failed",
        "the compiler's child process died without a reason; compile with search_delegate=True to find "
        "the operator at fault",
        "mathieugalle/edgetpu-compiler-pad-fail: 16 such failures, then success",
    ),
)
"""Every known refusal, the most telling line first: several are printed together."""

STATUS_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        rules.MORE_THAN_ONE: "it lies behind an operator on the CPU: make that one run on the Edge TPU",
        rules.NOT_SUPPORTED: "replace it by operators of the supported list",
        rules.VERSION: "convert with an older TensorFlow, so that an older version of it is written",
        rules.DATA_TYPE: "make its tensors int8: convert with integer inputs and outputs",
        rules.UNSPECIFIED: "see the rule that `python -m convert.edgetpu check` names; often sizes",
        rules.RANK: "use batch size 1 and at most three dimensions larger than 1",
        rules.NOT_CONSTANT: "make its filter, bias or other parameter a constant",
    }
)
"""What to change for each status of the operator table."""


def refusal(text: str) -> str | None:
    """What to change, in one sentence, for a run that printed `text` and made no model; None if unknown."""
    for known in REFUSALS:
        found = re.search(known.pattern, text)
        if found:
            return known.advice.format(**found.groupdict())
    return None


def _text(text: str, pattern: str) -> str | None:
    found = re.search(pattern, text)
    return found[1] if found else None


def _number(text: str, pattern: str) -> int | None:
    found = _text(text, pattern)
    return None if found is None else int(found)


def _bytes(text: str, label: str) -> int | None:
    found = re.search(rf"^{label}: {_SIZE}", text, re.MULTILINE)
    return None if found is None else round(float(found[1]) * _UNITS[found[2]])
