"""`dictate setup`: apply `dictation.toml` from the card; dictate-setup.service runs it before the appliance."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from device.config import skip_invalid
from device.config.schema import Config, WebSettings
from device.system import boot_config
from device.system.boot_config import Plan
from models import files
from models.errors import UsageError

CARD = Path("/boot/firmware/dictation.toml")
UNIT = Path("usr/lib/systemd/system/dictate-setup.service")
DATA = Path("data")
"""The data partition, below the root."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What reaches beyond files; tests have hands that only note what they would have done."""

    name: Callable[[str], object] = socket.sethostname
    start: Callable[[tuple[str, ...]], object] = lambda units: subprocess.run(
        ["systemctl", "--no-block", "start", *units], check=False
    )
    set_clock: Callable[[float], object] = lambda seconds: time.clock_settime(time.CLOCK_REALTIME, seconds)
    now: Callable[[], float] = time.time
    mounted: Callable[[Path], bool] = os.path.ismount


IDLE = Hands(lambda name: None, lambda units: None, lambda seconds: None, time.time, lambda path: True)
"""For a root that is not this machine's."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate setup`."""
    parser = subparsers.add_parser("setup", help="apply dictation.toml from the card: name, network, SSH key")
    parser.add_argument("--card", type=Path, default=CARD, metavar="FILE", help=f"default: {CARD}")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="only write the files, below this folder; without it, this command works on the image alone",
    )
    parser.set_defaults(run=_run)


def setup(file: Path, root: Path, hands: Hands) -> tuple[str, ...]:
    """Do what the card's file asks for, below `root`; returns what is wrong with it, a line each.

    Wrong keys and lines that are no TOML are left out, a file that cannot be read as a whole. A missing one asks for
    nothing.
    """
    failed: list[str] = []
    if behind := _clock(root, hands.now()):
        _tried("the clock", lambda: hands.set_clock(behind), failed)
    told: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    tree = Config()
    if os.path.lexists(file):
        loaded, told = skip_invalid.load(file, environ={})
        tree, renamed = loaded.config, loaded.renamed
    elif not hands.mounted(file.parent):
        told = (f"{file.parent}: the card's first partition is not mounted; going on with the defaults",)
        tree = skip_invalid.unread(environ={}).config
    if any(": web." in line for line in told):  # a mistake must not open what it was meant to close
        tree = replace(tree, web=WebSettings())
    plan = boot_config.plan(tree.system, tree.web)
    _write(root, plan, _configuration(file, tree, told), told)
    _tried("the host name", lambda: hands.name(plan.hostname), failed)
    if plan.units:
        _tried("network and login", lambda: hands.start(plan.units), failed)
    return (*told, *renamed, *failed)


def _tried(what: str, work: Callable[[], object], failed: list[str]) -> None:
    """One thing that cannot be done does not keep the next from being done."""
    try:
        work()
    except (OSError, OverflowError, ValueError) as error:
        failed.append(f"{what} could not be set: {error}; start the appliance again")


def _configuration(file: Path, tree: Config, told: tuple[str, ...]) -> str:
    notes = "".join(f"# left out: {line}\n" for line in told)
    return f"# Made of {file} by `dictate setup` at boot; change that one.\n{notes}{skip_invalid.written(tree)}"


def _write(root: Path, plan: Plan, configuration: str, told: tuple[str, ...]) -> None:
    written = {**plan.files, boot_config.CONFIGURATION: (configuration, boot_config.PUBLIC)}
    if told:
        written[boot_config.ERROR] = ("".join(f"{line}\n" for line in told), boot_config.PUBLIC)
    for name in boot_config.OWNED:
        if name not in written:
            (root / name).unlink(missing_ok=True)
    for name, (text, mode) in written.items():
        target = root / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        files.write(target, text, mode)


def _clock(root: Path, now: float) -> float | None:
    """The time to go on from, where there is no clock that runs without power: the newest file's on the data partition.

    None if the clock is not behind it.
    """
    folders = (root / DATA / name for name in ("dictate/journal", "dictate/power"))
    newest = max((changed for folder in folders for changed in _times(folder)), default=0.0)
    return newest if newest > now else None


def is_image(root: Path) -> bool:
    """Whether the system below `root` is one that build-image made: only there is this command's own unit."""
    return (root / UNIT).exists()


def _times(folder: Path) -> Iterator[float]:
    """When the regular files of a folder were changed. The service's user may put anything there."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return


def _run(args: argparse.Namespace) -> int:
    root = args.root or Path("/")
    if args.root is None and not is_image(root):
        raise UsageError(
            "this machine was not started from an image of build-image, so its name, network and clock are left alone; "
            "say --root DIR to write the files below a folder"
        )
    hands = Hands() if root == Path("/") else IDLE
    for line in setup(args.card, root, hands):
        print(line, file=sys.stderr)
    return 0
