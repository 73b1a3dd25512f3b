"""Keeps what C libraries print to standard error for their own developers from users, and nothing else.

>>> with only_lines(lambda line: not line.startswith(b"INFO:")):
...     _ = os.write(2, b"INFO: created a delegate\\n")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def only_lines(wanted: Callable[[bytes], bool]) -> Iterator[None]:
    """Hold back what is written to file descriptor 2 in the block; let the `wanted` lines through at its end."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    held = os.memfd_create("held back")
    try:
        os.dup2(held, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
        os.lseek(held, 0, os.SEEK_SET)
        with os.fdopen(os.dup(held), "rb") as lines:
            for line in filter(wanted, lines):
                os.write(2, line)
    finally:
        os.close(kept)
        os.close(held)
