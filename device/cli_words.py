"""`dictate words`: add, list and remove the user's own words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from device import cli_config, own_words, vocabulary
from device.config import Config
from device.vocabulary import Pronounce
from models.bundle import Bundle
from models.errors import UserError

OpenPronouncer = Callable[[Config], Pronounce | None]
"""Finds the pronouncer that goes with the configured bundle, None where there is no telling."""


def from_bundle(config: Config) -> Pronounce | None:
    """The pronouncer in the configured bundle; None without a bundle, or where it has none."""
    try:
        return own_words.pronouncer(Bundle.open(config.bundle.dir, verify=False))
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
        cli_config.add_options(action)
        action.set_defaults(run=lambda args, run=run: _told(run, args, pronouncer))


def _add(args: argparse.Namespace, config: Config, pronouncer: OpenPronouncer) -> str:
    new = vocabulary.word(" ".join(args.name), args.sounds_like)
    said = " (whether it can be pronounced is not checked: no bundle that can tell)"
    if pronounce := pronouncer(config):
        ((_, tokens),) = vocabulary.lexicon([new], pronounce)
        said = f" [{' '.join(tokens)}]"
    if not vocabulary.add(config.vocabulary.file, new):
        return f"{new.written}{said}: known already"
    return f"{new.written}{said}: added; it is heard from the next dictation on"


def _list(args: argparse.Namespace, config: Config, pronouncer: OpenPronouncer) -> str:
    words = vocabulary.load(config.vocabulary.file)
    return "\n".join(f"{w.written}  (sounds like {w.sounds_like})" if w.sounds_like else w.written for w in words)


def _remove(args: argparse.Namespace, config: Config, pronouncer: OpenPronouncer) -> str:
    name = " ".join(args.name)
    if not vocabulary.remove(config.vocabulary.file, name):
        raise vocabulary.VocabularyError(f"{name}: not among the words; `dictate words list` shows them")
    return f"{name}: removed"


def _told(
    run: Callable[[argparse.Namespace, Config, OpenPronouncer], str],
    args: argparse.Namespace,
    pronouncer: OpenPronouncer,
) -> int:
    file = (config := cli_config.load_from(args).config).vocabulary.file
    try:
        text = run(args, config, pronouncer)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; run as a user who may write it") from None
    if text:
        print(text)
    return 0
