"""The two sockets by which QEMU is driven: QMP (its management protocol) and qtest (its device test protocol).

with QMP(Path("qmp.sock")) as qmp:
    print(qmp.command("query-status"))
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from models.errors import UserError


class LinkError(UserError):
    """QEMU refused a command, or its socket did not come or went away."""


def connect(path: Path, alive: Callable[[], bool] = lambda: True, timeout_s: float = 30.0) -> socket.socket:
    """Connect to a socket that QEMU is about to make; LinkError if QEMU ends first."""
    end = time.monotonic() + timeout_s
    while True:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(path))
            return link
        except (FileNotFoundError, ConnectionRefusedError):
            link.close()
        if not alive() or time.monotonic() > end:
            raise LinkError(f"{path}: QEMU did not open it")
        time.sleep(0.02)


class _Lines:
    """Lines to and from a UNIX socket, one exchange at a time."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._file = link.makefile("rwb")
        self.lock = threading.Lock()

    def send(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        self._file.flush()

    def receive(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise LinkError("QEMU closed the connection")
        return line

    def close(self) -> None:
        self._file.close()
        self._link.close()


class QMP:
    """A QMP session (docs/interop/qmp-spec of QEMU); events are passed over."""

    def __init__(self, link: socket.socket) -> None:
        self._lines = _Lines(link)
        self._lines.receive()
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: Any) -> Any:
        """Execute a command and return what it returns; LinkError with QEMU's words if it is refused."""
        with self._lines.lock:
            self._lines.send(json.dumps({"execute": name, "arguments": arguments}).encode())
            while True:
                answer = json.loads(self._lines.receive())
                if "error" in answer:
                    raise LinkError(f"{name}: {answer['error'].get('desc', answer['error'])}")
                if "return" in answer:
                    return answer["return"]

    def close(self) -> None:
        """End the session; QEMU goes on."""
        self._lines.close()


class QTest:
    """A qtest session beside TCG: reads the machine's memory and sets input lines (QEMU's docs/devel/testing/qtest)."""

    def __init__(self, link: socket.socket) -> None:
        self._lines = _Lines(link)

    def command(self, line: str) -> list[str]:
        """Send a line; return the words after OK. Raises LinkError for anything else."""
        with self._lines.lock:
            self._lines.send(line.encode())
            while True:
                words = self._lines.receive().decode().split()
                if words[:1] == ["IRQ"]:
                    continue
                if words[:1] != ["OK"]:
                    raise LinkError(f"qtest: {line}: {' '.join(words)}")
                return words[1:]

    def read32(self, address: int) -> int:
        """The 32-bit word at a physical address."""
        return int(self.command(f"readl {address:#x}")[0], 16)

    def close(self) -> None:
        """End the session."""
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
