"""`dictate`: one command, its subcommands in the modules of this package."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models import terminal
from models.errors import UsageError, UserError

COMMANDS = {
    "transcribe": "device.cli.transcribe",
    "live": "device.cli.live",
    "toggle": "device.cli.toggle",
    "eval": "device.cli.eval",
    "bench": "device.cli.bench",
    "config": "device.cli.config",
    "journal": "device.cli.journal",
    "words": "device.cli.words",
    "format": "device.cli.format",
    "doctor": "device.cli.doctor",
    "run": "device.cli.run",
    "keyboard": "device.cli.keyboard",
    "power": "device.cli.power",
    "report": "device.cli.report",
    "leds": "device.cli.leds",
    "wiring": "device.cli.wiring",
    "realtime": "device.cli.realtime",
    "wyoming": "device.cli.wyoming",
    "browser": "device.cli.browser",
    "setup": "device.cli.setup",
    "update": "device.cli.update",
}

RENAMED = {"lights": "leds"}
"""Commands under the names that they had before, which still work; a line says what they are called now."""


DONE, FAULTS, WRONG_USE = 0, 1, 2
INTERRUPTED, NOBODY_READS = 130, 141
"""As a shell reports SIGINT and SIGPIPE."""


if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = argparse._SubParsersAction  # is generic for type checkers only


class _Commands(Subparsers):
    """Subcommands whose own help begins with the line that stands in the list of commands."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        text = options.get("help") or ""
        options.setdefault("description", f"{text[:1].upper()}{text[1:]}." if text else None)
        return super().add_parser(name, **options)


class Parser(argparse.ArgumentParser):
    """argparse, with a description for every subcommand at every level."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("action", "parsers", _Commands)


def parser(chosen: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with every subcommand, or with only the one that is asked for, which starts faster."""
    top = Parser(prog="dictate", description="Offline dictation: speak, and the words are typed.")
    top.add_argument("--version", action="version", version=f"dictate {version()}")
    subparsers = top.add_subparsers(required=True, metavar="COMMAND")
    wanted = [c for c in chosen[:1] if c in COMMANDS] or list(COMMANDS)
    for command in wanted:
        importlib.import_module(COMMANDS[command]).add_parser(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; docs/commands.md has the table. An expected error is a line each."""
    _take_any_bytes()
    with terminal.guarded():
        return _run(sys.argv[1:] if arguments is None else list(arguments))


def _run(given: Sequence[str]) -> int:
    if given and (today := RENAMED.get(given[0])):
        print(f"dictate: {given[0]} is called {today} now; the old name is still read", file=sys.stderr)
        given = [today, *given[1:]]
    try:
        parsed = parser(given).parse_args(given)
        status: int = parsed.run(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return NOBODY_READS
    except UserError as error:
        return _failed(given, str(error), WRONG_USE if isinstance(error, UsageError) else FAULTS)
    except OSError as error:
        if error.filename is None:
            _discard_output()
        return _failed(given, f"{error.filename or 'standard output'}: {error.strerror or error}", FAULTS)
    return status


def version() -> str:
    """The version of the installed package, or of the checkout that this runs from."""
    try:
        return importlib.metadata.version("coral-dictation")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def _failed(given: Sequence[str], text: str, status: int) -> int:
    named = " ".join(["dictate", *(command for command in given[:1] if command in COMMANDS)])
    for line in text.splitlines():
        print(f"{named}: {line}", file=sys.stderr)
    return status


def _take_any_bytes() -> None:
    """Read and print what is not in the terminal's encoding, such as a file name, as the bytes that it is."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() in ("utf-8", "utf8"):
            stream.reconfigure(errors="surrogateescape")


def _discard_output() -> None:
    """Send what is still buffered nowhere: the interpreter would try it once more at its end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
