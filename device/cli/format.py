"""`dictate format`: print what would be typed for words as they are said.

>>> parser = argparse.ArgumentParser()
>>> add_parser(parser.add_subparsers())
>>> args = parser.parse_args(["format", "dear anna comma | new line | see you at five thirty p m"])
>>> args.run(args)
Dear anna,
See you at 5:30 p.m.
0
"""

from __future__ import annotations

import argparse
import io
import sys
from typing import Any

from device.cli import options
from device.text import formatter
from device.text.edits import apply
from device.text.formatter import Rules, TextFormatter
from device.vocabulary import user_words


def add_parser(subparsers: Any) -> None:
    """Add `dictate format`."""
    parser = subparsers.add_parser(
        "format",
        help="print what would be typed for the words that were said",
        description="Prints what would be typed for words as they are said: capitals, punctuation, numbers, your own "
        "words. A bar stands for a pause: dictate format 'dear anna comma | new line | thank you'. Each line on "
        "standard input is a dictation of its own.",
    )
    parser.add_argument("words", nargs="*", help="what is said; without it, lines are read from standard input")
    options.add_options(parser)
    parser.set_defaults(run=_run)


def formatted(said: str, rules: Rules) -> str:
    """What one stretch of speech types; a bar in `said` stands for a pause."""
    writer = TextFormatter(rules)
    writer.begin()
    return apply("", writer.segment(*formatter.pauses(said)))


def _run(args: argparse.Namespace) -> int:
    config = options.load_from(args).config
    parsed = user_words.load(config.vocabulary.file)
    for fault in parsed.faults:
        print(f"dictate format: {fault}", file=sys.stderr)
    rules = formatter.rules_from(config.text, user_words.spellings(parsed.words))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")  # what is no text comes out as it came
    for said in [" ".join(args.words)] if args.words else sys.stdin:
        print(formatted(said, rules), flush=True)
    return int(bool(parsed.faults))
