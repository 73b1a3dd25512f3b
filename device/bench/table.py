"""The report's tables, as rows of text: for the terminal, for Markdown and for HTML alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from device.bench.figures import METRICS, by_repetition, late, middle, named, percentiles, pooled, ratio
from device.bench.record import BenchReport, CaseRow, Listening

NONE = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, what it means, column heads and rows; the first column is text, the others are numbers."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def tables(report: BenchReport) -> Iterator[Table]:
    """Every table that has rows."""
    for table in (
        latency(report),
        cost(report),
        ratios(report),
        windows(report),
        capture(report),
        realtime(report),
        missing(report),
    ):
        if table.rows:
            yield table


def latency(report: BenchReport, sweep: str = "configurations", title: str = "Latency") -> Table:
    """How soon the words come."""
    rows = []
    for row in report.measured(sweep):
        chunks = percentiles(pooled(report, row.case, late))
        four = [f"{1e3 * v:.1f}" for v in (chunks.p50, chunks.p95, chunks.p99, chunks.max)] if chunks else [NONE] * 4
        fast = percentiles(pooled(report, row.case, late, fast=True))
        rows.append(
            [
                row.title,
                *four,
                _ms(fast.p50 if fast else None),
                _seconds(report, row, _first_partials),
                _seconds(report, row, _behind),
                _seconds(report, row, _finals),
            ]
        )
    return Table(
        title,
        [
            "",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "full speed p50 ms",
            "first partial s",
            "behind s",
            "end of speech to text s",
        ],
        rows,
        "A 100 ms chunk at a microphone's pace, from when its last sample was due until it was dealt with; "
        f"{NONE} where an engine begins only when the utterance is over.",
    )


def cost(report: BenchReport, sweep: str = "configurations", title: str = "Cost and errors") -> Table:
    """What it takes of the machine, and how well it hears."""
    counted = any(m.fast.counters for m in report.measurements)
    rows = []
    for row in report.measured(sweep):
        extra = [_counter(report, row, "instructions"), _counter(report, row, "cache-misses")] if counted else []
        rows.append(
            [
                row.title,
                _number(report, row, "CPU, paced", ".1f"),
                _cores(report, row),
                _number(report, row, "CPU s per s of speech", ".4f"),
                _number(report, row, "peak memory", ".0f"),
                f"{max(m.model_bytes for m in report.of(row.case)) / 1e6:.1f}",
                _number(report, row, "cold start", ".2f"),
                _switches(report, row, lambda p: p.voluntary),
                _switches(report, row, lambda p: p.involuntary),
                *extra,
                _number(report, row, "energy, paced", ".2f"),
                f"{100 * row.words.wer:.1f}" if row.words else NONE,
            ]
        )
    extra = ["instructions /s", "cache misses /s"] if counted else []
    heads = [
        "",
        "CPU % of a core",
        "each core busy %",
        "CPU s per s",
        "peak MB",
        "model MB",
        "cold start s",
        "waits /s",
        "pre-empted /s",
        *extra,
        "W",
        "WER %",
    ]
    return Table(
        title,
        heads,
        rows,
        "Medians over the repetitions. At a microphone's pace: CPU % of the process, how busy each core was, "
        "whoever kept it so, context switches and watts. At full speed, over all the speech: CPU seconds for "
        "each second of speech, hardware counts, word errors.",
    )


def ratios(report: BenchReport) -> Table:
    """Each configuration against the baseline, with the spread over the repetitions."""
    rows, base = [], report.baseline
    shown = [m for m in METRICS if by_repetition(report, base, m)]
    for row in report.measured("configurations"):
        found = [ratio(by_repetition(report, row.case, m), by_repetition(report, base, m)) for m in shown]
        rows.append([row.title, *(str(r) if r else NONE for r in found)])
    return Table(
        f"Ratios to {base}",
        ["", *(metric.name for metric in shown)],
        rows,
        "Median of the ratios within each repetition, and [least, greatest]: below 1 is better.",
    )


def windows(report: BenchReport) -> Table:
    """The window sweep."""
    rows = []
    for row in report.measured("windows"):
        rows.append(
            [
                row.title,
                _seconds(report, row, _behind, fast=True),
                _seconds(report, row, _finals, fast=True),
                _number(report, row, "CPU s per s of speech", ".4f"),
                f"{100 * row.words.wer:.1f}" if row.words else NONE,
            ]
        )
    return Table(
        "Windows",
        ["", "behind s", "end of speech to text s", "CPU s per s", "WER %"],
        rows,
        "The bundle on the CPU at full speed, on a computed clock; a frame is 10 ms. Ours shows what a look "
        "at the newest frames finds, and takes it back where hearing on finds otherwise. Below that "
        "batches and steps whose text is final, with so many frames heard after them.",
    )


def capture(report: BenchReport) -> Table:
    """The capture sweep."""
    rows = []
    for row in report.measured("capture"):
        converting = percentiles(pooled(report, row.case, lambda h: h.converting, fast=True))
        four = [_ms(v, 2) for v in (converting.p50, converting.p99)] if converting else ["0", "0"]
        chunks = percentiles(pooled(report, row.case, late, fast=True))
        rows.append(
            [
                row.title,
                *four,
                _ms(chunks.p50 if chunks else None, 2),
                _number(report, row, "CPU s per s of speech", ".4f"),
                f"{100 * row.words.wer:.1f}" if row.words else NONE,
            ]
        )
    heads = ["", "resampling p50 ms", "resampling p99 ms", "chunk p50 ms", "CPU s per s", "WER %"]
    return Table(
        "Capture",
        heads,
        rows,
        "A 100 ms chunk, at full speed; 48 kHz is the same speech resampled beforehand, and back by the "
        "appliance's own converter (libsoxr) while it is measured.",
    )


def realtime(report: BenchReport) -> Table:
    """The real-time sweep."""
    return latency(report, "realtime", "Cores, priority and clock")


def missing(report: BenchReport) -> Table:
    """What was not measured, and why."""
    rows = [[row.title, row.missing] for row in report.rows if row.missing]
    rows += [[what, why] for what, why in report.unmeasured.items()]
    return Table("Not measured", ["", "why"], rows)


def plain(report: BenchReport) -> str:
    """All tables for a terminal."""
    parts = []
    for table in tables(report):
        lines = [table.heads, *table.rows] if len(table.heads) > 2 else table.rows
        widths = [max(len(line[i]) for line in lines) for i in range(len(table.heads))]
        texts = [i == 0 or not any(c.isdigit() for r in table.rows for c in r[i][:1]) for i in range(len(widths))]
        shown = [
            "  ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(line, widths, texts, strict=True)
            ).rstrip()
            for line in lines
        ]
        parts.append("\n".join([table.title, *(f"  {line}" for line in shown)]))
    return "\n\n".join(parts)


def markdown(report: BenchReport) -> str:
    """All tables for Markdown."""
    return "\n".join(f"**{table.title}**\n\n{_markdown(table)}\n" for table in tables(report))


def _markdown(table: Table) -> str:
    sides = ["---", *["--:" if len(table.heads) > 2 else "---"] * (len(table.heads) - 1)]
    lines = [table.heads, sides, *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


Pick = Callable[[Listening], Iterator[float]]


def _first_partials(listening: Listening) -> Iterator[float]:
    return (u.first_partial for u in listening.utterances if u.first_partial is not None)


def _behind(listening: Listening) -> Iterator[float]:
    return (seconds for u in listening.utterances for seconds in u.behind)


def _finals(listening: Listening) -> Iterator[float]:
    return (u.final for u in listening.utterances)


def _seconds(report: BenchReport, row: CaseRow, pick: Pick, fast: bool = False) -> str:
    found = percentiles(pooled(report, row.case, pick, fast))
    return f"{found.p50:.2f}" if found else NONE


def _ms(seconds: float | None, digits: int = 1) -> str:
    return NONE if seconds is None else f"{1e3 * seconds:.{digits}f}"


def _number(report: BenchReport, row: CaseRow, metric: str, form: str) -> str:
    value = middle(report, row.case, named(metric))
    return NONE if value is None else format(value, form)


def _switches(report: BenchReport, row: CaseRow, count: Callable[[Listening], int]) -> str:
    found = percentiles(count(m.paced) / m.paced.wall_s for m in report.of(row.case) if m.paced)
    return f"{found.p50:.0f}" if found else NONE


def _cores(report: BenchReport, row: CaseRow) -> str:
    shares = [m.paced.cores for m in report.of(row.case) if m.paced]
    return " ".join(f"{100 * statistics.median(core):.0f}" for core in zip(*shares, strict=True)) or NONE


def _counter(report: BenchReport, row: CaseRow, name: str) -> str:
    found = percentiles(m.fast.counters[name] / m.fast.seconds for m in report.of(row.case) if name in m.fast.counters)
    return f"{found.p50:.2e}" if found else NONE
