"""The log of what was drawn: CSV files that rotate, written seldom so that the SD card lasts.

>>> import tempfile
>>> log = PowerLog(Path(tempfile.mkdtemp()), max_bytes=1_000_000, keep=2, flush_s=60)
>>> log.add(Sample(time=0.0, seconds=1.0, state="ready", watts=2.5))
>>> list(samples_in(log.folder)), log.flush()
([], None)
>>> [sample.watts for sample in samples_in(log.folder)]
[2.5]
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from math import isfinite
from pathlib import Path

WAITING = 100_000
"""Samples kept when the disk refuses them; the oldest beyond are forgotten."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A stretch of time and what was measured at its end; one row of the CSV."""

    time: float
    """End of the stretch, seconds since 1970."""
    seconds: float
    """Its length, by a clock that is never set."""
    state: str
    """What the appliance did: starting, ready, listening, finalizing, fault."""
    watts: float | None = None
    volts: float | None = None
    amps: float | None = None
    percent: float | None = None
    celsius: float | None = None
    mhz: float | None = None
    load: float | None = None
    throttled: int | None = None
    speech_s: float = 0.0
    """Seconds of sound dictated in the stretch."""
    words: int = 0
    """Words found in the stretch."""


RENAMED = {"thinking": "finalizing"}  # old name
"""States under the names that older logs have for them."""

COLUMNS = [field.name for field in fields(Sample)]


class PowerLog:
    """Appends samples to the newest CSV of `folder`, which is made if need be.

    Samples wait in memory for `flush_s`, and nothing is synced: a power cut loses that much of the log and
    nothing else. A file of `max_bytes` is followed by a new one, the oldest beyond `keep` are removed. After an
    OSError the samples still wait.
    """

    def __init__(self, folder: Path, max_bytes: int, keep: int, flush_s: float) -> None:
        self.folder = folder
        self._max_bytes, self._keep, self._flush_s = max_bytes, keep, flush_s
        self._waiting: list[Sample] = []
        self._waited = 0.0

    def add(self, sample: Sample) -> None:
        """Take a sample and, when enough time has passed, write. Raises OSError."""
        self._waiting.append(sample)
        del self._waiting[:-WAITING]
        self._waited += sample.seconds
        if self._waited >= self._flush_s:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises OSError."""
        self._waited = 0.0
        if not self._waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._newest()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not file.exists():
            writer.writerow(COLUMNS)
        writer.writerows([*map(_cell, astuple(sample))] for sample in self._waiting)
        _append(file, text.getvalue().encode())
        self._waiting.clear()

    def _newest(self) -> Path:
        existing = log_files(self.folder)
        if existing and existing[-1].stat().st_size < self._max_bytes:
            return existing[-1]
        for old in existing[: max(0, len(existing) + 1 - self._keep)]:
            old.unlink(missing_ok=True)
        number = int(existing[-1].stem.partition("-")[2]) + 1 if existing else 1
        return self.folder / f"power-{number:06}.csv"


def log_files(folder: Path) -> list[Path]:
    """The CSV files of `folder`, oldest first."""
    return sorted(folder.glob("power-*.csv"))


def samples_in(folder: Path, since: float = 0.0, files: int = 0) -> Iterator[Sample]:
    """Every sample of `folder` from the moment `since`, oldest first; damaged rows are passed over.

    With `files`, only the newest so many files are read.
    """
    for file in log_files(folder)[-files:]:
        with file.open(newline="", encoding="utf-8", errors="replace") as stream:
            for row in csv.reader(line.replace("\0", "") for line in stream):
                sample = _sample(row)
                if sample is not None and sample.time >= since:
                    yield sample


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.13g}" if isinstance(value, float) else str(value)


def _sample(row: list[str]) -> Sample | None:
    if len(row) != len(COLUMNS) or row == COLUMNS:
        return None
    cells = dict(zip(COLUMNS, row, strict=True))
    try:
        optional = ("watts", "volts", "amps", "percent", "celsius", "mhz", "load")
        return Sample(
            time=_finite(cells["time"]),
            seconds=_finite(cells["seconds"]),
            state=RENAMED.get(cells["state"], cells["state"]),
            throttled=int(cells["throttled"]) if cells["throttled"] else None,
            speech_s=_finite(cells["speech_s"]),
            words=int(cells["words"]),
            **{name: _finite(cells[name]) for name in optional if cells[name]},
        )
    except ValueError:
        return None


def _finite(cell: str) -> float:
    value = float(cell)
    if not isfinite(value):
        raise ValueError(cell)
    return value


def _append(file: Path, data: bytes) -> None:
    """Append all of `data` or, at an OSError, nothing; end a line first that a power cut left unfinished."""
    with file.open("ab+", buffering=0) as stream:
        size = stream.seek(0, io.SEEK_END)
        if size:
            stream.seek(size - 1)
            data = data if stream.read(1) == b"\n" else b"\n" + data
        try:
            view = memoryview(data)
            while view:
                view = view[stream.write(view) :]
        except OSError:
            stream.truncate(size)
            raise
