"""`dictate update FILE`: install a signed update. The work is done by a tool outside of every release."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from models.errors import UserError

TOOL = Path("/usr/lib/dictate/release")


def add_parser(subparsers: Any) -> None:
    """Add `dictate update`."""
    parser = subparsers.add_parser("update", help="install a signed update; it stays only if it becomes ready")
    parser.add_argument("file", type=Path, metavar="FILE", help="made by provisioning/make-update")
    parser.add_argument("--downgrade", action="store_true", help="also a version older than what runs")
    parser.add_argument("--no-restart", action="store_true", help="start it with the next start of the service")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if not TOOL.exists():
        raise UserError(f"{TOOL} is missing: this is no device made by build-image or install; use pip here")
    options = [option for option in ("--downgrade", "--no-restart") if getattr(args, option[2:].replace("-", "_"))]
    os.execv(TOOL, [str(TOOL), "update", *options, str(args.file)])
