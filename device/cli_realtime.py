"""`dictate realtime`: what the kernel permits, and putting the clock's governor back after a crash."""

from __future__ import annotations

import argparse
from threading import Thread
from typing import Any

from device import cli_config, config
from device.realtime import GovernorError, fifo, governor_from, pinned
from device.realtime_bench import table, wake_ups


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
        cli_config.add_options(command)
        command.set_defaults(run=run)


def problems(settings: config.Realtime) -> list[str]:
    """What of `settings` this machine does not permit, a line each; tried out in a thread of its own."""
    if not settings.enabled:
        return []
    found: list[str] = []

    def probe() -> None:
        with pinned({*settings.encoder_cpus, *settings.decoder_cpus}) as problem:
            found.append(problem)
        found.append(fifo(settings.capture_priority))

    thread = Thread(target=probe)
    thread.start()
    thread.join()
    try:
        with governor_from(settings).raised():
            pass
    except GovernorError as error:
        found.append(str(error))
    return [problem for problem in found if problem]


def _check(args: argparse.Namespace) -> int:
    found = problems(cli_config.load_from(args).config.realtime)
    print("\n".join(found) if found else "cores, priority and governor: permitted")
    return 1 if found else 0


def _restore(args: argparse.Namespace) -> int:
    governor_from(cli_config.load_from(args).config.realtime).restore()
    return 0


def _wake_ups(args: argparse.Namespace) -> int:
    print(table(wake_ups(cli_config.load_from(args).config.realtime)))
    return 0
