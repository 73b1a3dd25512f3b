"""`dictate words`: add, list and remove the user's own words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from device.cli import options
from device.config.schema import Config
from device.vocabulary import user_words
from device.vocabulary.user_words import Pronounce, UserWord
from models.bundle import Bundle
from models.errors import UserError

OpenPronouncer = Callable[[Config], Pronounce | None]
"""Finds the pronouncer that goes with the configured bundle, None where there is no telling."""


def from_bundle(config: Config) -> Pronounce | None:
    """The pronouncer in the configured bundle; None without a bundle, or where it has none."""
    try:
        return user_words.pronouncer(Bundle.open(config.bundle.dir, verify=False))
    except UserError:
        return None


def add_parser(subparsers: Any, pronouncer: OpenPronouncer = from_bundle) -> None:
    """Add `dictate words`; what the `pronouncer` cannot read is refused when it is added."""
    parser = subparsers.add_parser("words", help="teach it words and names")
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="add a word or name, written as it should be")
    add.add_argument("name", nargs="+", help="e.g. Xiaoming, or New York")
    add.add_argument("--sounds-like", default="", metavar="WORDS", help='e.g. "shao ming"')
    show = actions.add_parser("list", help="list the words")
    remove = actions.add_parser("remove", help="remove a word")
    remove.add_argument("name", nargs="+")
    for action, run in ((add, _add), (show, _list), (remove, _remove)):
        options.add_options(action)
        action.set_defaults(run=lambda args, run=run: _reported(run, args, pronouncer))


def _add(args: argparse.Namespace, config: Config, pronouncer: OpenPronouncer) -> str:
    new = user_words.word(" ".join(args.name), args.sounds_like)
    pronounce = pronouncer(config)
    ((_, tokens),) = user_words.lexicon([new], pronounce or user_words.spelled_out)
    said = f" [{' '.join(tokens)}]" if pronounce else " (how it sounds is not checked: no bundle that can tell)"
    replaced = user_words.add(config.vocabulary.file, new)
    if replaced is None:
        return f"{new.written}{said}: known already"
    instead = f", in place of {', '.join(map(_shown, replaced))}" if replaced else ""
    return f"{new.written}{said}: added{instead}; it is heard from the next dictation on"


def _list(args: argparse.Namespace, config: Config, pronouncer: OpenPronouncer) -> str:
    return "\n".join(map(_shown, user_words.load(config.vocabulary.file).words))


def _shown(word: UserWord) -> str:
    return f"{word.written}  (sounds like {word.sounds_like})" if word.sounds_like else word.written


def _remove(args: argparse.Namespace, config: Config, pronouncer: OpenPronouncer) -> str:
    name = " ".join(args.name)
    if not user_words.remove(config.vocabulary.file, name):
        raise user_words.VocabularyError(f"{name}: not among the words; `dictate words list` shows them")
    return f"{name}: removed"


def _reported(
    run: Callable[[argparse.Namespace, Config, OpenPronouncer], str],
    args: argparse.Namespace,
    pronouncer: OpenPronouncer,
) -> int:
    file = (config := options.load_from(args).config).vocabulary.file
    try:
        text = run(args, config, pronouncer)
        faults = user_words.load(file).faults
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; run as a user who may write it") from None
    if text:
        print(text)
    for fault in faults:
        print(f"dictate words: {fault}", file=sys.stderr)
    return int(bool(faults))
