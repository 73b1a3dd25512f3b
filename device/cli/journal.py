"""`dictate journal`: show and search what was said."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from device.cli import argument_types, options
from device.output.journal import JournalEntry, entries_in, text_of
from models.errors import UsageError, UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate journal`."""
    parser = subparsers.add_parser("journal", help="show and search what was said")
    options.add_options(parser)
    parser.add_argument("search", nargs="?", default="", help="only edits with this text (any case)")
    parser.add_argument("--dir", type=Path, help="read this folder instead of the configured one")
    parser.add_argument("--regex", action="store_true", help="search is a regular expression")
    parser.add_argument("--last", type=argument_types.count, default=0, metavar="N", help="only the last N")
    parser.add_argument("--since", type=_moment, default=0.0, metavar="WHEN", help="e.g. 2026-11-22 or ...T09:30")
    parser.add_argument("--untyped", action="store_true", help="only what did not reach the computer in full")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--text", action="store_true", help="print the text alone, edits applied")
    form.add_argument("--json", action="store_true", help="print JSON lines")
    parser.set_defaults(run=_run)


def sought(search: str, regex: bool = False) -> re.Pattern[str]:
    """What to look for, in any case. Raises UsageError for a bad expression."""
    try:
        return re.compile(search if regex else re.escape(search), re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"--regex {search}: {error}") from None


def select(
    entries: Iterable[JournalEntry], pattern: re.Pattern[str], since: float = 0.0, untyped: bool = False
) -> Iterator[JournalEntry]:
    """The entries that match.

    >>> said = [JournalEntry(1, 0.0, "", 0, "Hello", "typed"), JournalEntry(2, 5.0, "", 0, " world")]
    >>> [entry.id for entry in select(said, sought("WORLD"), untyped=True)]
    [2]
    """
    for entry in entries:
        if pattern.search(entry.text) and entry.time >= since and not (untyped and entry.state == "typed"):
            yield entry


def line(entry: JournalEntry) -> str:
    """One line for a terminal: number, local time, what became of it, what was said."""
    when = datetime.fromtimestamp(entry.time).astimezone().isoformat(" ", "seconds")
    deleted = f"(deletes {entry.delete}) " if entry.delete else ""
    return f"{entry.id:6} {when} {entry.state:7} {deleted}{entry.text.strip(' ')!r}"


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: write it as 2026-11-22 or 2026-11-22T09:30") from None


def _run(args: argparse.Namespace) -> int:
    journal = options.load_from(args).config.sinks.journal
    folder, pattern = args.dir or journal.dir, sought(args.search, args.regex)
    if args.dir is None and journal.mode != "disk":
        raise UserError(f'sinks.journal.mode = "{journal.mode}": nothing is kept on disk')
    try:
        next(folder.iterdir(), None)
        found = list(select(entries_in(folder), pattern, args.since, args.untyped))
    except FileNotFoundError:
        raise UserError(f"{folder}: no journal here yet; dictate something, or name a folder with --dir") from None
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; run as a user who may read it") from None
    found = found[-args.last :] if args.last > 0 else found
    if args.text:
        print(text_of(found))
        return 0
    form: Callable[[JournalEntry], str] = (lambda e: json.dumps(asdict(e), ensure_ascii=False)) if args.json else line
    for entry in found:
        print(form(entry))
    return 0
