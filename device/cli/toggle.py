"""`dictate toggle`: begin or end dictating in the `dictate live` that runs; made for a hot key."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `dictate toggle`."""
    parser = subparsers.add_parser(
        "toggle",
        help="begin or end dictating in a `dictate live` that runs",
        description="Begins dictating in the `dictate live` of this user, or ends it. Bind it to a hot key; or bind "
        "pressing a key to --start and letting it go to --stop.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--start", dest="word", action="store_const", const="begin", help="begin, if it does not listen")
    which.add_argument("--stop", dest="word", action="store_const", const="end", help="end, if it listens")
    which.add_argument("--undo", dest="word", action="store_const", const="delete", help="delete the last dictation")
    which.add_argument("--quit", dest="word", action="store_const", const="quit", help="end `dictate live`")
    parser.set_defaults(run=_run, word="toggle")


def _run(args: argparse.Namespace) -> int:
    from device.app.controls import ask
    from device.config import places

    ask(places.runtime() / "live", args.word)
    return 0
