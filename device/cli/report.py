"""`dictate report`: what is known of this device, in one file to attach to an issue."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device import cli
from device.cli import options
from device.config.schema import Config
from device.diagnostics import checklist, doctor
from device.diagnostics.check import Check
from models import files, python
from models.bundle import Bundle
from models.errors import UserError

CONFIGURATIONS = ("coral", "tflite-int8", "onnx-fp32")
"""What is benchmarked: the recogniser as it is used here, on the Coral and on the CPU."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate report`."""
    parser = subparsers.add_parser(
        "report",
        help="write what is known of this device into one file, for a hardware report",
        epilog="Nothing is sent. The file holds no sound, no dictated text, no words of yours, no names of networks.",
    )
    options.add_options(parser)
    parser.add_argument("speech", nargs="*", type=Path, metavar="SPEECH", help="recordings for the benchmark, as there")
    parser.add_argument(
        "--out", type=Path, default=Path("dictation-report.md"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--no-bench", action="store_true", help="leave the benchmark out, which takes minutes")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    settings = options.load_from(args).config
    checks: dict[str, list[Check]] = {}
    for title, found in doctor.run_checks(settings):
        _tell(f"{title}: {', '.join(sorted({check.state.value for check in found}))}")
        checks[title] = [_without_networks(check) for check in found]
    rows = checklist.rows(checklist.Paths())
    measured = "left out: --no-bench" if args.no_bench else _bench(args)
    text = page(_about(settings), checks, rows, measured, _power(settings))
    _write(args.out, text.replace(f"{Path.home()}/", "~/"))
    print(f"written: {args.out}; read it before you attach it: docs/hardware-reports.md says where")
    return cli.DONE


def page(
    about: Mapping[str, str],
    checks: Mapping[str, Sequence[Check]],
    rows: Sequence[checklist.Row],
    measured: str,
    power: str,
) -> str:
    """The report in Markdown; the checks are there for people and, as JSON, for programs."""
    lines = ["# Hardware report", "", *_table(("", ""), about.items()), "", "## Check-list", ""]
    lines += _table(("#", "what", "found"), ((row.number, row.what, row.found) for row in rows))
    lines += ["", "## Checks", "", "```text"]
    for title, found in checks.items():
        lines += [f"{title}:", *(f"  {line}" for check in found for line in str(check).splitlines())]
    lines += ["```", "", "## Benchmark", "", measured.strip(), "", "## Power", "", power.strip(), "", "## For programs"]
    data = {
        "about": dict(about),
        "checklist": [asdict(row) for row in rows],
        "checks": doctor.rows(checks),
    }
    return "\n".join([*lines, "", "```json", json.dumps(data, indent=1, ensure_ascii=False), "```", ""])


def _without_networks(check: Check) -> Check:
    """A check without what was written on the card about Wi-Fi: it may quote a name or a password."""
    return replace(check, detail="about a Wi-Fi setting; left out here") if "wifi_" in check.detail else check


def _about(settings: Config) -> dict[str, str]:
    from device.bench import machine

    here = machine.describe()
    about = {
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "version": cli.version(),
        "machine": f"{here.model}, {here.architecture}, {here.cores} cores, {here.memory_mb} MB",
        "virtual": "yes" if here.virtual else "no sign of it",
        "kernel": here.kernel,
        "Python": here.python,
        "libraries": ", ".join(f"{name} {version}" for name, version in here.libraries.items()),
        "governor": here.governor,
    }
    try:
        description = Bundle.open(settings.bundle.dir, verify=False).description
    except UserError as error:
        return about | {"bundle": str(error)}
    compiled = "compiled for the Edge TPU" if description.edge_tpu.compiled else "not compiled for the Edge TPU"
    return about | {"bundle": f"{description.name}, {compiled}"}


def _bench(args: argparse.Namespace) -> str:
    """The benchmark's tables in Markdown, or why there are none."""
    configured = [f"--config={options.file_of(args)}", *(f"--set={value}" for value in args.set)]
    with tempfile.TemporaryDirectory(prefix="dictate-report-") as folder:
        command = python.module("device.cli", "bench", *map(str, args.speech), *configured, "--report", folder)
        command += ["--configs", ",".join(CONFIGURATIONS), "--repetitions", "2"]
        _tell(f"benchmark of {', '.join(CONFIGURATIONS)}: takes minutes")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        made = Path(folder) / "bench.md"
        if not made.is_file():
            return f"not measured: {(done.stderr.strip() or 'it ended without a word').splitlines()[-1]}"
        return made.read_text(encoding="utf-8").replace("\n# ", "\n### ").replace("\n## ", "\n### ")


def _power(settings: Config) -> str:
    from device.power import report
    from device.power.log import samples_in

    try:
        summary = report.summarise(samples_in(settings.power.dir))
    except OSError as error:
        return f"no log: {error.strerror}"
    if not summary.seconds:
        return "no log: nothing was dictated yet, or power.dir is another folder"
    return f"```text\n{report.table(summary, summary, settings.power.battery_wh)}\n```"


def _table(head: Sequence[str], rows: Any) -> list[str]:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:]]


def _write(path: Path, text: str) -> None:
    try:
        files.write(path, text)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name another place with --out") from None


def _tell(line: str) -> None:
    print(f"dictate report: {line}", file=sys.stderr, flush=True)
