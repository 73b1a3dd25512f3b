"""Reads altered copies of models: `python tests/support/edgetpu_fuzz.py COUNT FILE...`, driven by hypothesis.

Hypothesis draws a file, some edits and a place; at that place every variant is tried: extreme numbers, flipped
bits, cuts, copies, a truncated end. At least COUNT altered files are read, under a limit on memory and on
processor time for each draw, so that a crash, a hang or a memory hog ends this process with a status. Anything
but a model or a one-line refusal is shrunk and printed.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convert.edgetpu.compiled import executable
from convert.edgetpu.compiled.flatbuffer import MalformedFile
from convert.edgetpu.predict import mapping

MEMORY_BYTES = 128 << 20
SECONDS = 10
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)

# Where to alter: anywhere, or near the start, the package or the end, as large files are mostly weights.
PLACES = st.tuples(st.sampled_from(["any", "start", "package", "end"]), st.integers(0, 1 << 22))
EDITS = st.lists(st.tuples(PLACES, st.binary(min_size=1, max_size=8)), max_size=3)


def position(content: bytes | bytearray, place: tuple[str, int]) -> int:
    near, offset = place
    package = max(0, content.find(b"DWN1"))
    start = {"any": 0, "start": 0, "package": max(0, package - 2048), "end": max(0, len(content) - 4096)}[near]
    span = len(content) if near == "any" else 4096
    return min(len(content) - 1, start + offset % span)


def variants(content: bytes, edits: list[tuple[tuple[str, int], bytes]], place: tuple[str, int]) -> Iterator[bytes]:
    """The edited content, altered at one place in every way."""
    edited = bytearray(content)
    for where, new in edits:
        at = position(edited, where)
        edited[at : at + len(new)] = new
    at = position(edited, place)
    head, tail = bytes(edited[:at]), bytes(edited[at:])
    for number in (*EXTREMES, at, len(edited)):
        yield head + number.to_bytes(4, "little") + tail[4:]
    for bit in range(8):
        yield head + bytes([tail[0] ^ 1 << bit]) + tail[1:]
    for length in (1, 4, 32):
        yield head + tail[length:]
        yield head + tail[:length] + tail
    yield head


VARIANTS = sum(1 for _ in variants(b"12345678", [], ("any", 0)))


def survives(content: bytes) -> bool:
    """Whether a compiled file is read; a clear refusal is a False, anything else is raised."""
    try:
        executable.read(content)
    except (MalformedFile, executable.NotCompiled) as refusal:
        assert str(refusal) and "\n" not in str(refusal)
        return False
    return True


def predicts(content: bytes) -> bool:
    """The same for the mapping prediction of a source file."""
    try:
        mapping.predict(content)
    except (MalformedFile, mapping.AlreadyCompiled) as refusal:
        assert str(refusal) and "\n" not in str(refusal)
        return False
    return True


def main(count: int, paths: list[Path]) -> None:
    contents = [path.read_bytes() for path in paths]
    tally = {"altered": 0, "refused": 0}

    @settings(
        max_examples=math.ceil(count / VARIANTS),
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(contents) - 1), EDITS, PLACES)
    def fuzz(which: int, edits: list[tuple[tuple[str, int], bytes]], place: tuple[str, int]) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime) + SECONDS, -1))
        read = survives if b"DWN1" in contents[which] else predicts
        for content in variants(contents[which], edits, place):
            tally["altered"] += 1
            tally["refused"] += not read(content)

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, -1))
    fuzz()
    print(f"{tally['altered']} altered files, {tally['refused']} refused")


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
