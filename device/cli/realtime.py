"""`dictate realtime`: what the kernel permits, and putting the clock's governor back after a crash."""

from __future__ import annotations

import argparse
from typing import Any

from device.bench.scheduling import table, wake_ups
from device.cli import options
from device.system.scheduling import governor_from, problems


def add_parser(subparsers: Any) -> None:
    """Add `dictate realtime check`, `restore` and `wake-ups`."""
    parser = subparsers.add_parser("realtime", help="cores, priority and clock")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("check", _check, "say what the kernel permits"),
        ("restore", _restore, "put the governor back; the service runs it when it ends"),
        ("wake-ups", _wake_ups, "measure how late a busy machine wakes the capture thread"),
    ):
        command = commands.add_parser(name, help=text)
        options.add_options(command)
        command.set_defaults(run=run)


def _check(args: argparse.Namespace) -> int:
    found = problems(options.load_from(args).config.realtime)
    print("\n".join(found) if found else "cores, priority and governor: permitted")
    return 1 if found else 0


def _restore(args: argparse.Namespace) -> int:
    governor_from(options.load_from(args).config.realtime).restore()
    return 0


def _wake_ups(args: argparse.Namespace) -> int:
    print(table(wake_ups(options.load_from(args).config.realtime)))
    return 0
