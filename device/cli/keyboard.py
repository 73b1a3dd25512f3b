"""`dictate keyboard calibrate`: how fast the computer takes keys."""

from __future__ import annotations

import argparse
import fcntl
from pathlib import Path
from typing import Any

from device.cli import options as cli_options
from device.output import key_rate
from device.output.hid_gadget import HidGadget, cause
from models.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate keyboard calibrate`."""
    parser = subparsers.add_parser("keyboard", help="find out how fast the computer takes keys")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    calibrate = commands.add_parser(
        "calibrate", help="switch Caps Lock on and off for some ten seconds, and put it back as it was"
    )
    cli_options.add_options(calibrate)
    calibrate.set_defaults(run=_calibrate)


def _calibrate(args: argparse.Namespace) -> int:
    settings = cli_options.load_from(args).config.sinks
    _alone(settings.journal.dir)
    port = HidGadget(settings.keyboard.path)
    try:
        found = key_rate.drive(port)
    except OSError as error:
        raise UserError(f"{settings.keyboard.path}: {cause(error)}") from None
    finally:
        port.close()
    if not found.echoes:
        raise UserError(
            "the computer does not say whether Caps Lock is on, so nothing can be measured; "
            "lower sinks.keyboard.rate if letters are missing"
        )
    lost = [rate for rate in key_rate.LADDER if found.limit is None or rate > found.limit][:1]
    print(f"no key lost up to {found.limit or 0:g} keys a second" + (f", some at {lost[0]:g}" if lost else ""))
    print(f"sinks.keyboard.rate = {found.rate:g}")
    if not found.restored:
        raise UserError("Caps Lock is not as it was; press it once")
    return 0


def _alone(journal: Path) -> None:
    """Refuse while the appliance runs: it would type in between. Raises UserError."""
    try:
        with (journal / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError("the appliance is running and types there; stop it first: systemctl stop dictate") from None
    except OSError:
        return  # no journal yet
