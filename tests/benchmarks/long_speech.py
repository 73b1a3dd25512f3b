"""Thirty minutes of speech without a break: does the cost of a second stay the same, and does memory?

    .venv/bin/python tests/benchmarks/long_speech.py DIR [--minutes 30] [--out long-speech.png]

Joins the recordings of DIR, again and again, into one utterance, and prints for each minute the CPU seconds for each
second of speech, the resident memory, and the longest segment.
"""

from __future__ import annotations

import argparse
import time
from itertools import cycle
from pathlib import Path

import numpy as np

from device.asr import factory
from device.asr.results import Segment
from device.audio.file import WaveFile
from device.config import places
from models.bundle import Bundle

RATE = 16_000


def resident_mb() -> float:
    """Memory of this process now, from /proc/self/statm (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def measure(folder: Path, minutes: int, bundle: Path, live: bool) -> list[tuple[float, float, float]]:
    """(RTF, resident MB, longest segment in s) for each minute."""
    files = sorted(f for f in folder.iterdir() if f.suffix in (".flac", ".wav"))
    recognizer = factory.recognizer(Bundle.open(bundle), "cpu", live=live).recognizer
    rows, pending, endless = [], np.zeros(0, np.int16), cycle(files)
    for minute in range(minutes):
        while len(pending) < 60 * RATE:
            pending = np.concatenate([pending, *(chunk.samples for chunk in WaveFile(next(endless)))])
        now, pending = pending[: 60 * RATE], pending[60 * RATE :]
        began, longest = time.process_time(), 0.0
        for chunk in np.split(now, range(1_600, len(now), 1_600)):
            for event in recognizer.accept_waveform(chunk):
                if isinstance(event, Segment):
                    longest = max(longest, event.end - event.start)
        rows.append(((time.process_time() - began) / 60, resident_mb(), longest))
        print(
            f"minute {minute + 1:2}  RTF {rows[-1][0]:.4f}  resident {rows[-1][1]:.0f} MB  "
            f"longest segment {longest:.1f} s",
            flush=True,
        )
    return rows


def plot(rows: list[tuple[float, float, float]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (speed, memory) = pyplot.subplots(2, sharex=True, figsize=(7, 4), layout="constrained")
    minutes = range(1, len(rows) + 1)
    speed.plot(minutes, [rtf for rtf, _, _ in rows])
    speed.set(ylabel="CPU s / s of speech", ylim=(0, None))
    memory.plot(minutes, [mb for _, mb, _ in rows])
    memory.set(ylabel="resident MB", ylim=(0, None), xlabel="minute of one utterance")
    figure.savefig(out, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--bundle", type=Path, default=places.default_bundle())
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.folder, arguments.minutes, arguments.bundle, arguments.live)
    tail = rows[len(rows) // 2 :]
    print(
        f"first minute RTF {rows[0][0]:.4f}, second half {np.mean([r for r, _, _ in tail]):.4f}; "
        f"memory {rows[0][1]:.0f} MB after the first minute, {rows[-1][1]:.0f} MB at the end"
    )
    if arguments.out:
        plot(rows, arguments.out)


if __name__ == "__main__":
    main()
