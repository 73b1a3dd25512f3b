"""`dictate live`: what the microphone of this machine hears, on the terminal or typed into the window in front."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from device.asr.results import Partial
from device.cli import argument_types, options
from device.config.loader import Loaded
from device.config.schema import Config
from device.output.sink import Sink
from device.output.terminal import Lines, Terminal
from device.output.window import choice
from device.output.window.tool import Tool
from device.panel.leds import LedState
from models import terminal as guard

if TYPE_CHECKING:
    from device.app.ports import Input

DESKTOP = (
    "panel.enabled=false",
    "sinks.keyboard.enabled=false",
    "sinks.stdout.enabled=false",
    "sinks.journal.mode=memory",
    "realtime.enabled=false",
)
"""What is different where a person sits at the machine; --set may say otherwise."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate live`."""
    parser = subparsers.add_parser(
        "live",
        help="dictate on this machine: text on the terminal, or typed into the window in front",
        description="Hears the microphone of this machine and writes what is said as the appliance does. Space begins "
        "and ends, Backspace deletes the last dictation, Ctrl-C leaves; `dictate toggle` does the same from a hot key.",
    )
    parser.add_argument(
        "--type",
        nargs="?",
        const="auto",
        choices=("auto", *choice.TOOLS),
        help="also type into the window in front, by the program that suits the session, or by the one that is named",
    )
    parser.add_argument("--wait", action="store_true", help="do not listen before it is asked for; --type implies it")
    parser.add_argument(
        "--silence", type=argument_types.positive, metavar="S", help="end a dictation after S seconds without a word"
    )
    parser.add_argument("--once", action="store_true", help="leave after the first dictation")
    options.add_options(parser)
    parser.add_argument("--verbose", action="store_true", help="tell more on standard error")
    parser.set_defaults(run=_run)


class Screen:
    """What is shown: on a terminal what is being said and what can be done, elsewhere only lines of text."""

    def __init__(self, stdout: TextIO, stderr: TextIO, keys: bool) -> None:
        self._keys, self._stderr = keys, stderr
        self._listening = False
        self._terminal = Terminal(stdout, lambda: shutil.get_terminal_size().columns) if stdout.isatty() else None
        self.sink: Sink = self._terminal or Lines(stdout, self.tell)

    def tell(self, line: str) -> None:
        """Say something on standard error."""
        write = partial(print, f"dictate live: {line}", file=self._stderr, flush=True)
        self._terminal.aside(write) if self._terminal else write()

    def partial(self, event: Partial) -> None:
        """Show what is being said."""
        if self._terminal:
            self._terminal.hint(f"{event.stable} {event.tail}".strip())

    def set_leds(self, states: frozenset[LedState]) -> None:
        """Show what it does."""
        if not self._terminal:
            return
        listening = LedState.LISTENING in states
        if self._listening and not listening:
            self._terminal.over()
        if not listening or not self._listening:
            self._terminal.hint(self._hint(states))
        self._listening = listening

    def _hint(self, states: frozenset[LedState]) -> str:
        begin = "space or `dictate toggle` begins" if self._keys else "`dictate toggle` begins"
        hints = {
            LedState.STARTING: "loading …",
            LedState.FAULT: "the recogniser does not work; it is tried again",
            LedState.MICROPHONE_MISSING: "no microphone",
            LedState.LISTENING: "listening …",
            LedState.FINALIZING: "…",
        }
        return next((hint for state, hint in hints.items() if state in states), f"({begin}, Ctrl-C leaves)")


class _Log(logging.Handler):
    """Log lines on the screen."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._say = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._say(self.format(record))


def _run(args: argparse.Namespace) -> int:
    from device.app import controls
    from device.app.recognizer import load_recognizer  # these need gpiozero, PortAudio and an interpreter
    from device.app.service import serve
    from device.app.session import Desktop, Environment

    tool = choice.choose(args.type) if args.type else None
    args.set = [*DESKTOP, *args.set]
    loaded = _with_bundle(options.load_from(args))
    stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)  # device.audio.microphone silences descriptor 2
    keys = sys.stdin if sys.stdin is not None and controls.takes_keys(sys.stdin) else None
    screen = Screen(sys.stdout, guard.plain(stderr), keys is not None)
    level = logging.INFO if args.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[_Log(screen.tell)])
    machine = Environment(
        load_recognizer,
        desktop=Desktop(
            sinks=partial(_sinks, screen, tool),
            controls=partial(_controls, keys, begins=not (args.wait or tool)),
            set_leds=screen.set_leds,
            partial=screen.partial,
            silence_s=args.silence or float("inf"),
            once=args.once,
        ),
    )
    return serve(loaded, lambda: _with_bundle(options.load_from(args)), machine)


def _with_bundle(loaded: Loaded) -> Loaded:
    """The configuration with a bundle that is there, put together if need be."""
    from device.cli.first_use import put_together
    from device.config.bundle_folder import with_second_pass

    config: Config = loaded.config
    found = put_together("live", config.bundle.dir)
    return with_second_pass(replace(loaded, config=replace(config, bundle=replace(config.bundle, dir=found))))


def _sinks(screen: Screen, tool: Tool | None, trouble: Callable[[str, str | None], None]) -> Sequence[Sink]:
    from device.output.window.sink import Window

    return [screen.sink] if tool is None else [screen.sink, Window(tool, partial(trouble, Window.name))]


@contextmanager
def _controls(keys: TextIO | None, put: Callable[[Input], object], begins: bool) -> Iterator[None]:
    from device.app.controls import controls
    from device.app.ports import ControlRequest
    from device.config import places

    with controls(put, places.runtime() / "live", keys):
        if begins:
            put(ControlRequest.BEGIN)
        yield
