"""`dictate format`: print what would be typed for words as they are said.

>>> parser = argparse.ArgumentParser()
>>> add_parser(parser.add_subparsers())
>>> args = parser.parse_args(["format", "dear anna comma | new line | see you at five thirty p m"])
>>> args.run(args)
Dear anna,
See you at 5:30 p.m.
0
>>> args = parser.parse_args(["format", "--punctuation", "all", "That's it. | Question mark. | Yes."])
>>> args.run(args)
auto: That's it? Yes.
spoken: That's it? Yes
both: That's it? Yes.
off: That's it. Question mark. Yes.
0
"""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import replace
from typing import Any, get_args

from device.cli import options
from device.text import formatter, tokens
from device.text.edits import apply
from device.text.formatter import Punctuation, Rules, TextFormatter
from device.vocabulary import user_words

MODES: tuple[Punctuation, ...] = get_args(Punctuation)


def add_parser(subparsers: Any) -> None:
    """Add `dictate format`."""
    parser = subparsers.add_parser(
        "format",
        help="print what would be typed for the words that were said",
        description="Prints what would be typed for words as they are said: capitals, punctuation, numbers, your own "
        "words. A bar stands for a pause: dictate format 'dear anna comma | new line | thank you'. Capitals and "
        "punctuation are taken as the recogniser's own. Each line on standard input is a dictation of its own.",
    )
    parser.add_argument("words", nargs="*", help="what is said; without it, lines are read from standard input")
    parser.add_argument(
        "--punctuation",
        choices=[*MODES, "all"],
        help="in place of text.punctuation; all prints a line for each, with its name before it",
    )
    options.add_options(parser)
    parser.set_defaults(run=_run)


def formatted(said: str, rules: Rules) -> str:
    """What one stretch of speech types; a bar in `said` stands for a pause.

    Where a word has a capital or a mark of a sentence, both are taken as the recogniser's own.
    """
    words, pauses = formatter.pauses(said)
    punctuated = any(word != word.lower() or word.endswith(tuple(tokens.MARKS)) for word in words.split())
    writer = TextFormatter(rules)
    writer.begin()
    return apply("", writer.segment(words, pauses, punctuated))


def _run(args: argparse.Namespace) -> int:
    config = options.load_from(args).config
    parsed = user_words.load(config.vocabulary.file)
    for fault in parsed.faults:
        print(f"dictate format: {fault}", file=sys.stderr)
    rules = formatter.rules_from(config.text, user_words.spellings(parsed.words))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")  # what is no text comes out as it came
    for said in [" ".join(args.words)] if args.words else sys.stdin:
        if args.punctuation == "all":
            for mode in MODES:
                print(f"{mode}: {formatted(said, replace(rules, punctuation=mode))}", flush=True)
        else:
            print(formatted(said, replace(rules, punctuation=args.punctuation or rules.punctuation)), flush=True)
    return int(bool(parsed.faults))
