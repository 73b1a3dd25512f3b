"""Drives tests/support/appliance_child.py: presses its button, reads what it types, hears what it tells systemd."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from usb_host import Host, Table

from device.output.journal import JournalEntry, entries_in

CHILD = Path(__file__).with_name("appliance_child.py")


class Computer:
    """The computer at the other end of the keyboard: a named pipe's reader, which can sleep or be unplugged."""

    def __init__(self, pipe: Path) -> None:
        self.host = Host(Table("us"))
        self._pipe, self._end = pipe, -1
        self._awake, self._closed = Event(), False
        os.mkfifo(pipe)
        self.plug_in()
        self._awake.set()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def screen(self) -> str:
        """What was typed, in lower case."""
        return self.host.screen.lower()

    def plug_in(self) -> None:
        end = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4_096)
        self._end = end

    def unplug(self) -> None:
        end, self._end = self._end, -1
        time.sleep(0.05)
        os.close(end)

    def sleep(self) -> None:
        self._awake.clear()

    def wake(self) -> None:
        self._awake.set()

    def close(self) -> None:
        self._closed = True
        self._thread.join()

    def _read(self) -> None:
        while not self._closed:
            end = self._end
            if end < 0 or not self._awake.is_set():
                time.sleep(0.005)
                continue
            try:
                reports = os.read(end, 4_096)
            except (BlockingIOError, OSError):
                reports = b""
            if reports:
                self.host.feed(reports)
            else:
                time.sleep(0.002)


class Manager:
    """The service manager's end of sd_notify."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0.05)
        self.status = ""
        self.ready = self.pings = 0

    def listen(self) -> None:
        """Take what has come."""
        while True:
            try:
                message = self.socket.recv(65_536).decode()
            except TimeoutError:
                return
            for line in message.split("\n"):
                key, _, value = line.partition("=")
                self.status = value if key == "STATUS" else self.status
                self.ready += key == "READY"
                self.pings += key == "WATCHDOG"

    def wait(self, done: Callable[[], bool], seconds: float = 30.0) -> None:
        """Listen until `done`."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"waited {seconds} s in vain; status: {self.status!r}"
            self.listen()


class Bench:
    """An appliance in a process, and everything around it."""

    def __init__(self, folder: Path, journal: Path | None = None, config: str = "", meter: str | Path = "none") -> None:
        self.folder = folder
        self.journal = journal or folder / "journal"
        self.file = folder / "config.toml"
        self.config = config
        self.meter = meter
        self.computer = Computer(folder / "hidg0")
        self.manager = Manager(folder / "notify")
        self.child: subprocess.Popen[str] | None = None
        self.log = (folder / "log").open("w")
        self.configure(config)

    def configure(self, more: str = "") -> None:
        self.file.write_text(
            f"""
[audio]
device = "Virtual"
retry_s = 0.2
[panel]
pins = "mock"
[sinks.keyboard]
path = "{self.folder}/hidg0"
rate = 500
host_timeout_s = 1
[sinks.journal]
dir = "{self.journal}"
[power]
meter = "{self.meter}"
interval_s = {1.0 if self.meter == "none" else 0.1}
flush_s = 1
dir = "{self.folder}/power"
[realtime]
enabled = false
[vocabulary]
file = "{self.folder}/words.tsv"
{more}
"""
        )

    def start(self, *arguments: str) -> None:
        """Start the appliance and wait until it says that it is ready."""
        before = self.manager.ready
        self.child = subprocess.Popen(
            [sys.executable, str(CHILD), str(self.file), str(self.folder), *arguments],
            stdin=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | {"NOTIFY_SOCKET": str(self.manager.path), "WATCHDOG_USEC": "4000000"},
        )
        self.manager.wait(lambda: self.manager.ready > before or self.ended(), 60)
        assert not self.ended(), self.told()
        time.sleep(0.1)

    def ended(self) -> bool:
        return self.child is None or self.child.poll() is not None

    def button(self, pressed: bool) -> None:
        assert self.child is not None and self.child.stdin is not None
        self.child.stdin.write("down\n" if pressed else "up\n")
        self.child.stdin.flush()

    def dictate(self, seconds: float = 0.3) -> None:
        """Hold the button until something was said and `seconds` longer; wait until the rest was said too."""
        before = len(self.acknowledged())
        self._press(before)
        time.sleep(seconds)
        self.button(False)
        self.manager.wait(lambda: len(self.acknowledged()) > before + 1, 20)

    def _press(self, before: int) -> None:
        """Press until something is said: on a starved machine the microphone may seem lost for a moment."""
        for _ in range(10):
            self.button(True)
            end = time.monotonic() + 4
            while time.monotonic() < end:
                if len(self.acknowledged()) > before:
                    return
                self.manager.listen()
            self.button(False)
            time.sleep(1)
        raise AssertionError(f"ten presses in vain; status: {self.manager.status!r}")

    def stop(self, number: int) -> int:
        """Send a signal and wait for the end; return the exit status."""
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(20)

    def acknowledged(self) -> list[str]:
        """The words that were handed to the sinks."""
        file = self.folder / "acknowledged"
        return file.read_text().split() if file.exists() else []

    def entries(self) -> list[JournalEntry]:
        return list(entries_in(self.journal))

    def told(self) -> str:
        return (self.folder / "log").read_text()

    def close(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.computer.close()
        self.manager.socket.close()
        self.log.close()
