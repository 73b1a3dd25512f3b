"""What the appliance tells systemd: that it is ready, what it does, and that it still makes progress.

The protocol is sd_notify(3): a datagram of assignments to the socket that NOTIFY_SOCKET names. Outside systemd
there is no such socket, and nothing is sent.

>>> Notifier({}).ready("ready")
False
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class Notifier:
    """Sends states to the service manager; every method returns whether there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def ready(self, status: str) -> bool:
        """Start-up, or a reload, is done."""
        return self._send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> bool:
        """What the appliance does, for `systemctl status`."""
        return self._send(f"STATUS={status}")

    def reloading(self) -> bool:
        """The configuration is read again; `ready` must follow."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self) -> bool:
        """The end has begun."""
        return self._send("STOPPING=1")

    def alive(self) -> bool:
        """Another watchdog period may pass."""
        return self._send("WATCHDOG=1")

    def allow(self, seconds: float) -> bool:
        """Make the watchdog period this long from now on: loading a model takes longer than dictating."""
        return self._send(f"WATCHDOG_USEC={round(seconds * 1e6)}", "WATCHDOG=1")

    def _send(self, *assignments: str) -> bool:
        if not self._address:
            return False
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return False
        return True


class Watchdog:
    """Pings the service manager while the loop makes progress, four times in each period.

    There is no thread that could ping for a loop that hangs: `progress` is called by the loop itself.

    >>> pings = []
    >>> watchdog = Watchdog({"WATCHDOG_USEC": "8000000"}, lambda: pings.append("ping"), clock=iter(range(9)).__next__)
    >>> for _ in range(8):
    ...     watchdog.progress()
    >>> len(pings), watchdog.period
    (4, 8.0)
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        ping: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.period = int(environ.get("WATCHDOG_USEC", "0")) / 1e6 if mine else 0.0
        self._ping, self._clock = ping, clock
        self._next = float("-inf")

    def progress(self) -> None:
        """Note that the loop has come round."""
        if self.period and (now := self._clock()) >= self._next:
            self._next = now + self.period / 4
            self._ping()
