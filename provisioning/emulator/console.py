"""The machine's lines of text: the serial console, a root shell, and ports that guest programs write to.

with machine.shell() as shell:
    print(shell.run("uname -r"))
"""

from __future__ import annotations

import base64
import re
import shlex
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from provisioning.emulator.links import LinkError


class Console:
    """What arrives on a character device, kept in memory and, if asked, in a file; `wait` looks for a pattern in it.

    `on_line` is called, in the thread that reads, with each line as it comes, its newline removed.
    """

    def __init__(
        self, link: socket.socket, log: Path | None = None, on_line: Callable[[str], None] | None = None
    ) -> None:
        self._link = link
        self._log = log.open("wb", buffering=0) if log else None
        self._on_line = on_line
        self._text = ""
        self._line = ""
        self._open = True
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that came so far."""
        with self._news:
            return self._text

    @property
    def mark(self) -> int:
        """The place in the text where what comes next will begin."""
        with self._news:
            return len(self._text)

    def send(self, text: str) -> None:
        """Type `text`."""
        try:
            self._link.sendall(text.encode())
        except OSError as error:
            raise LinkError(f"the virtual Pi is gone ({error})") from None

    def wait(self, pattern: str, seconds: float, since: int = 0) -> re.Match[str]:
        """Wait until `pattern` is in the text after `since`; LinkError when the time is over or the machine ended."""
        end = time.monotonic() + seconds
        with self._news:
            while not (found := re.compile(pattern, re.M).search(self._text, since)):
                left = end - time.monotonic()
                if left <= 0 or not self._open:
                    tail = "\n".join(self._text.splitlines()[-5:])
                    why = f"not within {seconds:.0f} s" if self._open else "the machine ended first"
                    raise LinkError(f"waited for {pattern!r} on the console: {why}; last seen:\n{tail}")
                self._news.wait(left)
            return found

    def close(self) -> None:
        """Hang up."""
        self._link.close()
        self._thread.join(1.0)
        if self._log:
            self._log.close()

    def _read(self) -> None:
        while True:
            try:
                data = self._link.recv(65536)
            except OSError:
                data = b""
            if self._log and data:
                self._log.write(data)
            with self._news:
                self._open = bool(data)
                self._text += data.decode(errors="replace").replace("\r\n", "\n")
                self._news.notify_all()
            if not data:
                return
            if self._on_line is not None:
                *lines, self._line = (self._line + data.decode(errors="replace").replace("\r", "")).split("\n")
                for line in lines:
                    self._on_line(line)


class ShellError(LinkError):
    """A command in the virtual Pi failed; `output` is what it printed."""

    def __init__(self, command: str, status: int, output: str) -> None:
        super().__init__(f"in the virtual Pi: {command!r} ended with {status}:\n{output}")
        self.status, self.output = status, output


class Shell:
    """A root shell on a virtio console: systemd's debug shell, which the kernel command line asks for.

    The image itself has no such shell; a card in a real Pi is started without that word.
    """

    SETUP = (
        "stty -echo -onlcr; PS1= PS2= HISTFILE=; export TERM=dumb "
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    )

    def __init__(self, console: Console) -> None:
        self.console = console
        self._count = 0
        self._lock = threading.Lock()

    def wait(self, seconds: float) -> None:
        """Wait for the prompt and make the shell quiet."""
        self.console.wait(r"[#$] $", seconds)
        self.console.send(self.SETUP + "\n")
        self.run("bind 'set enable-bracketed-paste off' 2>/dev/null; true", 30)

    def run(self, command: str, seconds: float = 60.0, check: bool = True) -> str:
        """Run a command and return what it printed. Raises ShellError if it fails, unless `check` is False."""
        with self._lock:
            self._count += 1
            mark = f"end-{time.monotonic_ns()}-{self._count}"
            since = self.console.mark
            # The mark is sent in two halves, so that an echo of the command is not taken for its end.
            self.console.send(f'{{ {command}\n}} </dev/null; printf "%s%s:%d:\\n" {mark[:5]} {mark[5:]} $?\n')
            found = self.console.wait(rf"{mark}:(\d+):\n", seconds, since)
            output = self.console.text[since : found.start()]
        if check and int(found[1]):
            raise ShellError(command, int(found[1]), output)
        return output

    def background(self, command: str, log: str = "/dev/null") -> int:
        """Start a command that goes on by itself; return its process id."""
        return int(self.run(f"(exec setsid sh -c {shlex.quote(command)} </dev/null >{log} 2>&1 & echo $!)"))

    def upload(self, data: bytes, path: str) -> None:
        """Write a small file."""
        text = base64.b64encode(data).decode()
        self.run(f": > {path}.b64")
        for at in range(0, len(text), 3000):
            self.run(f"echo {text[at : at + 3000]} >> {path}.b64")
        self.run(f"base64 -d {path}.b64 > {path} && rm {path}.b64")
