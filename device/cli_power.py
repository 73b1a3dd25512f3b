"""`dictate power`: what the appliance draws now, and what it has drawn."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from device import battery, cli_config
from device.config import Config, ConfigError
from device.power import SYS, PowerError, find_meter, read_gauges
from device.power_log import samples_in
from device.power_plot import svg
from device.power_report import summarise, table, throttling


def add_parser(subparsers: Any) -> None:
    """Add `dictate power now`, `report` and `hours`."""
    parser = subparsers.add_parser("power", help="watts by state, energy per word, hours left")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    now = commands.add_parser("now", help="measure once")
    cli_config.add_options(now)
    now.add_argument("--sys", type=Path, default=SYS, help=argparse.SUPPRESS)
    now.set_defaults(run=_now)
    report = commands.add_parser("report", help="summarise the log")
    cli_config.add_options(report)
    report.add_argument("--dir", type=Path, help="read this folder instead of the configured one")
    report.add_argument("--days", type=float, default=7.0, help="how far back (default 7)")
    report.add_argument("--svg", type=Path, metavar="FILE", help="draw watts over time")
    report.set_defaults(run=_report)
    hours = commands.add_parser("hours", help="how long a battery would last, from the watts in the log")
    cli_config.add_options(hours)
    hours.add_argument("--dir", type=Path, help="read this folder instead of the configured one")
    hours.add_argument("--battery-wh", type=float, metavar="WH", help="its energy (default: power.battery_wh)")
    hours.add_argument("--duty", type=float, default=0.25, help="share of the time spent dictating (default 0.25)")
    hours.set_defaults(run=_hours)


def _now(args: argparse.Namespace) -> int:
    try:
        meter = find_meter(cli_config.load_from(args).config.power.meter, args.sys)
        if meter is None:
            raise PowerError("no meter found; wire an INA219 or INA226, or set power.meter to its folder")
        print(meter.name)
        for name, value in asdict(meter.read()).items():
            print(f"  {name:10} {value}")
    except (ConfigError, PowerError) as error:
        print(error, file=sys.stderr)
        return 2
    gauges = read_gauges(args.sys)
    print(f"  celsius    {gauges.celsius}\n  mhz        {gauges.mhz}\n  load       {gauges.load}")
    print(f"  throttling {throttling(gauges.throttled or 0)}")
    return 0


def _report(args: argparse.Namespace) -> int:
    try:
        config: Config = cli_config.load_from(args).config
        folder = args.dir or config.power.dir
        samples = list(samples_in(folder, since=time.time() - 86_400 * args.days))
        if not samples:
            print(f"{folder}: no samples in the last {args.days:g} days; run the appliance", file=sys.stderr)
            return 2
        day = datetime.fromtimestamp(samples[-1].time).replace(hour=0, minute=0, second=0, microsecond=0)
        today = [sample for sample in samples if sample.time >= day.timestamp()]
        print(table(summarise(samples), summarise(today), config.power.battery_wh))
        if args.svg is not None:
            args.svg.write_text(svg(samples), encoding="utf-8")
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _hours(args: argparse.Namespace) -> int:
    try:
        settings = cli_config.load_from(args).config.power
        log = summarise(samples_in(args.dir or settings.dir))
        print(battery.hours(log, args.battery_wh if args.battery_wh is not None else settings.battery_wh, args.duty))
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except battery.NotMeasured as error:
        print(f"{args.dir or settings.dir}: {error}", file=sys.stderr)
        return 2
    return 0
