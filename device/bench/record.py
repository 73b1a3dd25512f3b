"""What a benchmark measured, as it is kept in JSON: one `BenchReport`, a `Measurement` for each process that was run.

The file is written beside its place and renamed. When it is read, every key and value is checked against the
dataclasses here, and RecordError names the first that does not fit.

>>> save(BenchReport.empty(), Path("/nonexistent/bench.json"))
Traceback (most recent call last):
device.bench.record.RecordError: /nonexistent/bench.json: No such file or directory; name another place
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models import files, typed
from models.errors import UserError

FORMAT = 1


class RecordError(UserError):
    """A report cannot be read or written; the message names the file, the cause and the next step."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """`listen.Heard`: times of one utterance, in seconds."""

    seconds: float
    late: tuple[float, ...]
    first_partial: float | None
    behind: tuple[float, ...]
    final: float
    text: str


@dataclass(frozen=True, slots=True)
class Listening:
    """Some speech, heard at the pace of a microphone or at full speed."""

    utterances: tuple[Utterance, ...]
    wall_s: float
    cpu_s: float
    """Of the process, all its threads."""
    voluntary: int
    """Context switches because it waited."""
    involuntary: int
    """Context switches because another was let in."""
    converting: tuple[float, ...]
    """Seconds that resampling took, a chunk; empty where nothing was resampled."""
    cores: tuple[float, ...]
    """Busy share of each core of the machine meanwhile, whoever kept it busy."""
    joules: float | None
    """Of the machine, or of the processor's package: `BenchReport.unmeasured` or `BenchReport.meter` says."""
    counters: Mapping[str, float]
    """What `perf stat` counted in the process."""

    @property
    def seconds(self) -> float:
        return sum(utterance.seconds for utterance in self.utterances)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One process: a case in one repetition."""

    case: str
    repetition: int
    cold_start_s: float
    """From starting the process until the engine could listen."""
    model_bytes: int
    peak_bytes: int
    versions: Mapping[str, str]
    paced: Listening | None
    fast: Listening


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Word errors of a case over the whole speech."""

    wer: float
    words: int
    substitutions: int
    deletions: int
    insertions: int


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case: what it was, and why it was not measured, where it was not."""

    case: str
    sweep: str
    title: str
    configuration: str
    missing: str = ""
    words: WordErrors | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """Where it was measured."""

    model: str
    architecture: str
    cores: int
    usable_cores: int
    governor: str
    scheduling: str
    """Policy and priority of the command, which its workers inherit."""
    kernel: str
    virtual: bool
    memory_mb: int
    python: str
    libraries: Mapping[str, str]
    load: tuple[float, ...]
    """Load averages over 1, 5 and 15 minutes before the run."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The speech."""

    source: str
    recordings: int
    seconds: float
    paced_seconds: float
    """Of it, at most, heard at a microphone's pace in each repetition."""
    transcripts: bool


@dataclass(frozen=True, slots=True)
class BatteryLife:
    """Hours that a battery lasts, from measured watts (device/power/report.py)."""

    battery_wh: float
    duty: float
    idle_watts: float
    dictating_watts: float
    hours: float
    measured_s: float
    source: str


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One run of `dictate bench`."""

    made: str
    """UTC, ISO 8601."""
    machine: Host
    speech: Spoken
    threads: int
    repetitions: int
    baseline: str
    rows: tuple[CaseRow, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    meter: str = ""
    """What measured the energy."""
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    """What could not be measured on this machine, and why."""
    battery: BatteryLife | None = None
    format: int = FORMAT

    @classmethod
    def empty(cls) -> BenchReport:
        machine = Host("", "", 1, 1, "", "", "", False, 0, "", {}, ())
        return cls("", machine, Spoken("", 0, 0.0, 0.0, False), 1, 0, "")

    def of(self, case: str) -> list[Measurement]:
        """The measurements of a case, by repetition."""
        return [m for m in self.measurements if m.case == case]

    def measured(self, sweep: str) -> list[CaseRow]:
        """The cases of a sweep that were measured."""
        return [row for row in self.rows if row.sweep == sweep and self.of(row.case)]


def replaced(path: Path, text: str) -> None:
    """Write `text` to `path`, beside it first, and rename. Raises RecordError."""
    try:
        files.write(path, text)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; name another place") from None


def save(report: BenchReport, path: Path) -> None:
    """Write `report` as JSON. Raises RecordError."""
    replaced(path, json.dumps(dataclasses.asdict(report), indent=1) + "\n")


def load(path: Path) -> BenchReport:
    """Read what `save` wrote. Raises RecordError."""
    again = "make it again with `dictate bench --report DIR`"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; name the bench.json of a report") from None
    except ValueError as error:
        raise RecordError(f"{path}: not JSON ({error}); {again}") from None
    if isinstance(raw, dict) and raw.get("format") != FORMAT:
        raise RecordError(f"{path}: this program reads reports of format {FORMAT}, not {raw.get('format')}; {again}")
    try:
        return typed.read(BenchReport, raw, "report", whole=True)
    except ValueError as error:
        raise RecordError(f"{path}: {error}; {again}") from None
