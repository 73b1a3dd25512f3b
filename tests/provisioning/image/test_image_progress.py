"""Someone who reads a log sees that a long step goes on; someone at a terminal sees one line."""

from __future__ import annotations

import io
import time

from provisioning.common.progress import CLEAR, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_what_is_done_and_that_it_goes_on() -> None:
    log = io.StringIO()
    progress = Progress(log, lambda: 0.0)
    progress.step("root file system")
    progress.say("installing packages")
    with progress.beating(every_s=0.001):
        while log.getvalue().count("…") < 2:
            time.sleep(0.001)
    progress.done("card.img")
    lines = [line.split("s  ", 1)[1] for line in log.getvalue().splitlines()]
    assert lines[:2] == ["root file system · installing packages", "root file system · installing packages …"]
    assert lines[-2:] == ["root file system", "in all: card.img"]
    assert CLEAR not in log.getvalue()


def test_a_terminal_has_one_line_for_a_step() -> None:
    terminal = Terminal()
    progress = Progress(terminal, lambda: 0.0)
    progress.step("unpack")
    progress.say("usr")
    progress.beat()
    progress.done("card.img")
    *lines, rest = terminal.getvalue().split("\n")
    assert [line.rpartition(CLEAR)[2] for line in lines] == ["   0.0 s  unpack", "   0.0 s  in all: card.img"]
    assert rest == ""
