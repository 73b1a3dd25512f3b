"""Word error rate, speed by stage and memory over a directory of recordings with transcripts."""

from __future__ import annotations

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.asr import factory, results
from device.inference.accelerator import Backend
from models.errors import UserError

TRANSCRIPTS = "transcripts.tsv"  # file<TAB>text, one line a recording


class EvalError(UserError):
    """The directory cannot be evaluated; the message names the file, the cause and the next step."""


@dataclass
class StageClock:
    """CPU seconds of this process by stage.

    >>> clock = StageClock()
    >>> with clock("search"):
    ...     pass
    >>> list(clock.seconds)
    ['search']
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - began


def read_transcripts(folder: Path) -> list[tuple[Path, str]]:
    """(recording, text) pairs of a directory; EvalError names what is missing or malformed."""
    table = folder / TRANSCRIPTS
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise EvalError(f"{table}: missing; write one line for each recording: file<TAB>text") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        name, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab:
            raise EvalError(f"{table}:{number}: no tab; write file<TAB>text")
        if not (folder / name).is_file():
            raise EvalError(f"{table}:{number}: {name} is not in {folder}")
        pairs.append((folder / name, text))
    if not pairs:
        raise EvalError(f"{table}: no recordings; write one line for each: file<TAB>text")
    return pairs


def evaluate(
    folder: Path, bundle_dir: Path | None, backend: Backend, threads: int, live: bool, progress: bool
) -> dict[str, Any]:
    """Transcribes every recording of `folder` and returns the report that --json prints."""
    from device.audio.file import WaveFile
    from device.bench import wer
    from device.config import places
    from models.bundle import Bundle

    pairs = read_transcripts(folder)
    wer.normalizer()  # fail before the work, not after it
    clock = StageClock()
    began = time.monotonic()
    bundle = Bundle.open(bundle_dir or places.default_bundle())
    pipeline = factory.recognizer(bundle, backend, threads, live, stage=clock)
    factory.say_backend("eval", pipeline, backend)
    start = time.monotonic() - began
    seconds, total, items, wall = 0.0, 0.0, [], time.monotonic()
    for index, (file, reference) in enumerate(pairs):
        if progress:
            print(f"\r\x1b[K{index + 1}/{len(pairs)} {file.name}", end="", file=sys.stderr, flush=True)
        chunks = list(WaveFile(file))
        cpu, events = time.process_time(), []
        for chunk in chunks:
            events += pipeline.recognizer.accept_waveform(chunk.samples)
        events += pipeline.recognizer.finish()
        total += time.process_time() - cpu
        seconds += events[-1].end
        items.append({"file": file.name, "reference": reference, "hypothesis": results.joined(events)})
    if progress:
        print("\r\x1b[K", end="", file=sys.stderr)
    score = wer.score([i["reference"] for i in items], [i["hypothesis"] for i in items])
    return {
        "bundle": bundle.description.name,
        "backend": pipeline.accelerator.name,
        "live": live,
        "utterances": len(items),
        "seconds": round(seconds, 2),
        "wer": round(score.wer, 4),
        "words": score.words,
        "substitutions": score.substitutions,
        "deletions": score.deletions,
        "insertions": score.insertions,
        "rtf": round(total / seconds, 5),
        "rtf_by_stage": {name: round(spent / seconds, 5) for name, spent in clock.seconds.items()},
        "wall_rtf": round((time.monotonic() - wall) / seconds, 5),
        "start_seconds": round(start, 3),
        "threads": threads,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "items": items,
    }


def table(report: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    yield f"{report['utterances']} recordings, {report['seconds'] / 60:.1f} min, backend {report['backend']}"
    yield (
        f"WER {100 * report['wer']:.2f} %  ({report['substitutions']} substitutions, "
        f"{report['deletions']} deletions, {report['insertions']} insertions in {report['words']} words)"
    )
    stages = ", ".join(f"{name} {rtf:.4f}" for name, rtf in report["rtf_by_stage"].items())
    yield f"RTF {report['rtf']:.4f} (CPU seconds for each second of speech: {stages})"
    yield f"peak memory {report['peak_rss_mb']:.0f} MB, loaded in {report['start_seconds']:.2f} s"
