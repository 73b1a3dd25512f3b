"""`dictate`: one command, its subcommands in the cli_* modules beside this file."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from models.errors import UserError

COMMANDS = {
    "transcribe": "device.cli_transcribe",
    "eval": "device.cli_eval",
    "bench": "device.cli_bench",
    "config": "device.cli_config",
    "journal": "device.cli_journal",
    "words": "device.cli_words",
    "format": "device.cli_format",
    "doctor": "device.cli_doctor",
    "run": "device.cli_run",
    "power": "device.cli_power",
    "lights": "device.cli_lights",
    "wiring": "device.cli_wiring",
    "realtime": "device.cli_realtime",
    "setup": "device.cli_setup",
    "update": "device.cli_update",
}


def parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with every subcommand, or with only the one that is asked for, which starts faster."""
    top = argparse.ArgumentParser(prog="dictate", description="Offline dictation: speak, and the words are typed.")
    subparsers = top.add_subparsers(required=True, metavar="COMMAND")
    wanted = [c for c in chosen[:1] if c in COMMANDS] or list(COMMANDS)
    for command in wanted:
        importlib.import_module(COMMANDS[command]).add_parser(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; an expected error is one line and exit status 1."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed = parser(given).parse_args(given)
    try:
        status: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except UserError as error:
        print(f"dictate: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
