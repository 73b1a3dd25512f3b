"""Shows a build's stages as they run, on a terminal as live lines, else one line for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from models.terminal import visible

Note = Callable[[str], None]


class Display:
    """Stages with their times, on `console`.

    >>> display = Display(Console(file=open("/dev/null", "w")))
    >>> with display.stage("split") as note:
    ...     note("kept")
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str) -> Iterator[Note]:
        """Shows `name` as running until the block ends, with its latest note; the last one stands beside its time."""
        began, notes = time.monotonic(), [""]
        with self.console.status(f"{name} …") as status:

            def remark(text: str) -> None:
                notes[0] = text
                status.update(f"{name} … {visible(text)}")

            yield remark
        taken = time.monotonic() - began
        self.console.print(f"[bold]{name:<10}[/] {taken:6.1f} s  {visible(notes[0])}", highlight=False)

    def lines(self, text: str) -> None:
        self.console.print(visible(text), highlight=False, soft_wrap=True)
