"""The sink that types into the window in front, by a program, in a thread of its own.

An edit for which the program fails is told of and not tried again: who knows what of it is in the window. It deletes
only what it has typed itself, and nothing from before a failure.
"""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from device.output.hid_report import clusters
from device.output.journal import JournalEntry
from device.output.window.tool import Tool

SCREEN = 10_000
"""Characters that can be taken back."""

PATIENCE_S = 30.0
"""For one run of a program."""

DRAIN_S = 5.0
"""For what waits to be typed at the end."""


class Window:
    """Types edits in their order. `on_status` is told when that fails, and None when it works again."""

    name = "window"
    marks = False

    def __init__(self, tool: Tool, on_status: Callable[[str | None], None]) -> None:
        self._tool, self._on_status = tool, on_status
        self._edits: SimpleQueue[JournalEntry | None] = SimpleQueue()
        self._screen: deque[int] = deque(maxlen=SCREEN)  # key presses of each character
        self._failed = ""
        self._thread = threading.Thread(target=self._run, name="typist", daemon=True)
        self._thread.start()

    def deliver(self, entry: JournalEntry) -> None:
        """Type an edit in its turn. Returns at once."""
        self._edits.put(entry)

    def close(self) -> None:
        """Type what waits, for a few seconds at most."""
        self._edits.put(None)
        self._thread.join(DRAIN_S)

    def _run(self) -> None:
        while (entry := self._edits.get()) is not None:
            backspaces = sum(self._screen.pop() for _ in range(min(entry.delete, len(self._screen))))
            typed = ""
            for piece, length in clusters(entry.text):
                spelled = self._tool.spelled(piece)
                typed += spelled
                self._screen.extend([len(spelled), *[0] * (length - 1)])
            self._tell(self._typed(backspaces, typed))

    def _typed(self, backspaces: int, text: str) -> str:
        """Press and type; returns why that failed."""
        for command in self._tool.commands(backspaces, text):
            try:
                done = subprocess.run(
                    command.arguments, input=command.stdin, text=True, capture_output=True, timeout=PATIENCE_S
                )
            except OSError as error:
                return f"{self._tool.name}: {error.strerror}"
            except subprocess.TimeoutExpired:
                return f"{self._tool.name}: does not end"
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()
                return f"{self._tool.name}: {said[-1] if said else f'ended with status {done.returncode}'}"
        return ""

    def _tell(self, failed: str) -> None:
        if failed:
            self._screen.clear()
        if failed != self._failed:
            self._on_status(failed or None)
        self._failed = failed
