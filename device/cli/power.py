"""`dictate power`: what the appliance draws now, and what it has drawn."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from device.cli import argument_types, options
from device.drawing import power, svg
from device.power.log import samples_in
from device.power.monitor import charge
from device.power.report import NotMeasured, hours, summarise, table, throttling
from device.power.sensors import SYS, PowerError, Reading, find_meter, read_gauges
from models.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate power now`, `report` and `hours`."""
    parser = subparsers.add_parser("power", help="watts by state, energy per word, hours left")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    now = commands.add_parser("now", help="measure once")
    options.add_options(now)
    now.add_argument("--sys", type=Path, default=SYS, help=argparse.SUPPRESS)
    now.set_defaults(run=_now)
    report = commands.add_parser("report", help="summarise the log")
    options.add_options(report)
    report.add_argument("--dir", type=Path, help="read this folder instead of the configured one")
    report.add_argument("--days", type=argument_types.positive, default=7.0, help="how far back (default 7)")
    report.add_argument("--svg", type=Path, metavar="FILE", help="draw watts over time")
    report.set_defaults(run=_report)
    hours = commands.add_parser("hours", help="how long a battery would last, from the watts in the log")
    options.add_options(hours)
    hours.add_argument("--dir", type=Path, help="read this folder instead of the configured one")
    hours.add_argument(
        "--battery-wh", type=argument_types.positive, metavar="WH", help="energy (default: power.battery_wh)"
    )
    hours.add_argument(
        "--duty", type=argument_types.share, default=0.25, help="share of time spent dictating (default 0.25)"
    )
    hours.set_defaults(run=_hours)


def _now(args: argparse.Namespace) -> int:
    settings = options.load_from(args).config.power
    status = 0
    try:
        meter = find_meter(settings.meter, args.sys, reverse=settings.reverse_current)
        if meter is None:
            print("no meter: what is drawn cannot be measured; wire an INA219 or INA226, or set power.meter")
        else:
            reading = meter.read()
            print("\n".join([meter.name, *_rows(reading, charge(reading, settings))]))
    except PowerError as error:
        print(f"dictate power: {error}", file=sys.stderr)
        status = 1
    gauges = read_gauges(args.sys)
    throttled = "not measured" if gauges.throttled is None else throttling(gauges.throttled)
    rows = {"celsius": gauges.celsius, "mhz": gauges.mhz, "load": gauges.load, "throttling": throttled}
    print("\n".join(_row(name, value) for name, value in rows.items()))
    return status


def _rows(reading: Reading, percent: float | None) -> Iterator[str]:
    yield _row("volts", reading.volts)
    yield _row("amps", reading.amps)
    yield _row("watts", reading.watts)
    yield _row("charge", percent, " %")
    yield _row("current", reading.flow.value if reading.own else "not of this machine's battery")


def _row(name: str, value: float | str | None, unit: str = "") -> str:
    shown = "not measured" if value is None else f"{value:.4g}{unit}" if isinstance(value, float) else value
    return f"  {name:10} {shown}"


def _report(args: argparse.Namespace) -> int:
    settings = options.load_from(args).config.power
    folder = args.dir or settings.dir
    samples = list(samples_in(folder, since=time.time() - 86_400 * args.days))
    if not samples:
        raise UserError(f"{folder}: no samples in the last {args.days:g} days; run the appliance")
    day = datetime.fromtimestamp(samples[-1].time).replace(hour=0, minute=0, second=0, microsecond=0)
    today = [sample for sample in samples if sample.time >= day.timestamp()]
    print(table(summarise(samples), summarise(today), settings.battery_wh))
    if args.svg is not None:
        svg.write(args.svg, power.svg(samples))
    return 0


def _hours(args: argparse.Namespace) -> int:
    settings = options.load_from(args).config.power
    folder = args.dir or settings.dir
    log = summarise(samples_in(folder))
    try:
        print(hours(log, args.battery_wh if args.battery_wh is not None else settings.battery_wh, args.duty))
    except NotMeasured as error:
        raise UserError(f"{folder}: {error}") from None
    return 0
