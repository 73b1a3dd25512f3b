"""`dictate bench`: latency, processor time, memory, energy and errors, by configuration; and two reports compared."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device.bench import cases, compare, machine, page, plots, record, runner, scheduling, speech, table
from device.bench.engine import CONFIGURATIONS
from device.bench.meters import Counters, Energy
from device.bench.record import BenchReport, CaseRow, Measurement, WordErrors
from device.bench.wer import ScoringError, score
from device.cli import argument_types, options
from device.config import places, schema
from device.config.bundle_folder import comparison_of
from device.power.log import samples_in
from device.power.report import NotMeasured, hours, summarise
from models import python
from models.bundle import Bundle
from models.errors import UsageError

BASELINES = python.REPOSITORY / ".cache" / "baselines" / "venv" / "bin" / "python"
"""Where `make baselines` installs the baselines."""


DEFAULT_SWEEPS = "windows,capture"


class BenchError(UsageError):
    """The command line does not fit; the message says how it should be."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate bench` and `dictate bench compare`."""
    parser = subparsers.add_parser(
        "bench",
        help="latency, CPU, memory, energy and errors by configuration",
        epilog="docs/benchmark.md says what each number means",
    )
    options.add_options(parser)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="SPEECH",
        help="recordings, or folders of them (with transcripts.tsv: errors too); default: Debian's "
        "pocketsphinx-testdata. Or: compare A.json B.json",
    )
    parser.add_argument(
        "--speech", action="append", default=[], type=Path, metavar="DIR", help="the same, as an option"
    )
    parser.add_argument("--configs", metavar="LIST", help=f"only these of {', '.join(CONFIGURATIONS)}")
    parser.add_argument(
        "--sweeps",
        metavar="LIST",
        help=f"of {', '.join(cases.SWEEPS)}, or none (default: {DEFAULT_SWEEPS}; none where --configs is given)",
    )
    parser.add_argument("--realtime", action="store_true", help="add the sweep of cores, priority and clock's governor")
    parser.add_argument(
        "--seconds",
        type=argument_types.positive,
        default=10.0,
        metavar="N",
        help="speech heard at a microphone's pace in each repetition (default 10)",
    )
    parser.add_argument("--repetitions", type=argument_types.count, default=3, metavar="N", help="default 3")
    parser.add_argument(
        "--baseline",
        default="onnx-fp32",
        metavar="NAME",
        help="what ratios are to (default %(default)s; the first measured where that is not)",
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write bench.html, .json, .md and summary.svg there")
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: bundle.dir of the configuration)")
    parser.add_argument(
        "--comparison",
        type=Path,
        metavar="DIR",
        help="what `convert/build.py --comparison` wrote (default: BUNDLE-comparison)",
    )
    parser.add_argument(
        "--threads", type=argument_types.count, default=1, help="cores that a configuration may use (default 1)"
    )
    baselines = parser.add_argument(
        "--baselines", type=Path, metavar="PYTHON", help="the Python that has the baselines installed"
    )
    options.also_read(parser, "--peers", baselines)  # old name
    parser.add_argument("--power-log", type=Path, metavar="DIR", help="watts for the battery (default: power.dir)")
    parser.add_argument(
        "--duty", type=argument_types.share, default=0.25, help="share of the time spent dictating (default 0.25)"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.files and str(args.files[0]) == "compare":
        if len(args.files) != 3:
            raise BenchError("dictate bench compare: name two reports: dictate bench compare A.json B.json")
        print("\n".join(compare.lines(record.load(args.files[1]), record.load(args.files[2]))))
        return 0
    _check(args)
    settings = options.load_from(args).config
    folders = places.default_bundles(args.bundle) if args.bundle else settings.bundle
    bundle = Bundle.open(folders.dir)
    wanted = _cases(args, settings.realtime, bundle)
    if args.report:
        _folder(args.report)
    with tempfile.TemporaryDirectory(prefix="dictate-bench-") as scratch:
        heard = speech.gather([*args.files, *args.speech], Path(scratch))
        setting = runner.RunSettings(
            bundle.root,
            args.comparison or comparison_of(bundle.root),
            heard,
            args.seconds,
            args.threads,
            args.baselines or (BASELINES if BASELINES.exists() else python.current()),
            settings.realtime,
            Counters.found(),
            Energy.found(),
            Path(scratch),
            folders.second_pass,
        )
        report = _begun(args, settings, setting)
        print(
            f"{len(wanted)} cases, {args.repetitions} repetitions of {args.seconds:g} s and once through "
            f"{heard.seconds:.0f} s: about {_minutes(wanted, args, heard.seconds):.0f} min or more",
            file=sys.stderr,
        )

        def save_progress(measured: Sequence[Measurement], missing: Mapping[str, str]) -> None:
            nonlocal report
            report = _scored(replace(report, measurements=tuple(measured)), wanted, missing, heard)
            if args.report:
                record.save(report, args.report / "bench.json")

        runner.run(wanted, setting, args.repetitions, _teller(), save_progress)
    print(table.plain(report))
    if args.realtime:
        print("\nWaking late on busy cores\n" + scheduling.table(scheduling.wake_ups(settings.realtime)))
    if args.report:
        record.replaced(args.report / "bench.html", page.html(report))
        record.replaced(args.report / "bench.md", table.markdown(report))
        record.replaced(args.report / "summary.svg", plots.summary(report))
        print(f"\nwritten: {args.report / 'bench.html'}, bench.json, bench.md, summary.svg")
    return 0 if report.measurements else 1


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is measured."""
    if args.baseline not in CONFIGURATIONS:
        raise BenchError(f"--baseline {args.baseline}: no such configuration; there are {', '.join(CONFIGURATIONS)}")
    if args.baselines is not None and not shutil.which(args.baselines):
        raise BenchError(
            f"--baselines {args.baselines}: no program; name the Python that has them (`make baselines` makes one)"
        )


def _listed(given: str | None, otherwise: str) -> list[str]:
    return [name for name in (otherwise if given is None else given).split(",") if name]


def _cases(args: argparse.Namespace, settings: schema.RealtimeSettings, bundle: Bundle) -> list[cases.Case]:
    names = _listed(args.configs, ",".join(CONFIGURATIONS))
    sweeps = [name for name in _listed(args.sweeps, "" if args.configs else DEFAULT_SWEEPS) if name != "none"]
    sweeps += ["realtime"] if args.realtime and "realtime" not in sweeps else []
    return [
        *cases.configurations(names, args.threads),
        *(case for name in sweeps for case in cases.sweep(name, settings, bundle.window, args.threads)),
    ]


def _begun(args: argparse.Namespace, settings: schema.Config, setting: runner.RunSettings) -> BenchReport:
    """The report before anything is measured."""
    unmeasured = {
        name: why
        for name, why in (("instructions, cache misses", setting.counters.missing), ("joules", setting.energy.missing))
        if why
    }
    life = None
    folder = args.power_log or settings.power.dir
    try:
        found = hours(summarise(samples_in(folder)), settings.power.battery_wh, args.duty)
        life = record.BatteryLife(
            found.battery_wh,
            found.duty,
            found.idle_watts,
            found.dictating_watts,
            found.hours,
            found.measured_s,
            f"dictate power's log in {folder}",
        )
    except (NotMeasured, OSError) as error:
        unmeasured["battery"] = f"{folder}: {error}"
    heard = setting.speech
    return BenchReport(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe(),
        speech=record.Spoken(heard.source, len(heard.files), heard.seconds, args.seconds, heard.texts is not None),
        threads=args.threads,
        repetitions=args.repetitions,
        baseline=args.baseline,
        meter=setting.energy.name,
        unmeasured=unmeasured,
        battery=life,
    )


def _scored(
    report: BenchReport, wanted: Sequence[cases.Case], missing: Mapping[str, str], heard: speech.Speech
) -> BenchReport:
    """`report` with its rows: why a case is missing, or the word errors of its first repetition."""
    unmeasured, rows = dict(report.unmeasured), []
    for case in wanted:
        words, measured = None, report.of(case.name)
        if measured and heard.texts is not None:
            try:
                found = score(heard.texts, [utterance.text for utterance in measured[0].fast.utterances])
                words = WordErrors(found.wer, found.words, found.substitutions, found.deletions, found.insertions)
            except ScoringError as error:
                unmeasured["word errors"] = str(error)
        why = missing.get(case.name, "")
        adapter = measured[0].versions.get("adapter") if measured else None
        title = f"{case.title}, {adapter}" if adapter else case.title
        rows.append(CaseRow(case.name, case.sweep, title, case.configuration, why, words))
    if heard.texts is None:
        unmeasured["word errors"] = "no transcripts; put a transcripts.tsv beside the recordings: file<TAB>text"
    named = [row.case for row in rows if row.sweep == "configurations" and report.of(row.case)]
    baseline = report.baseline if report.baseline in named or not named else named[0]
    return replace(report, rows=tuple(rows), unmeasured=unmeasured, baseline=baseline)


def _minutes(wanted: Sequence[cases.Case], args: argparse.Namespace, seconds: float) -> float:
    """What the pace alone takes, and loading, and a pass at a tenth of real time."""
    each = sum((args.seconds if case.paced else 0.0) + 2.0 + seconds / 10 for case in wanted)
    return float(args.repetitions * each / 60)


def _teller() -> Any:
    """Says on a terminal what is being measured, in one line that is overwritten."""
    began = time.monotonic()

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{time.monotonic() - began:5.0f} s  {what}", end="", file=sys.stderr, flush=True)

    return tell


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}; name another folder with --report") from None
