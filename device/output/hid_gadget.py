"""The file to which key reports go: /dev/hidg0 (kernel: Documentation/usb/gadget_hid.rst), or a named pipe.

>>> HidGadget(Path("/nonexistent/hidg0")).write(bytes(8))
Traceback (most recent call last):
FileNotFoundError: [Errno 2] No such file or directory: '/nonexistent/hidg0'
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

CAPS_LOCK_LED = 0x02
"""Bit of the output report (HID 1.11, appendix B.1)."""


def is_keyboard(path: Path, sysfs: Path = Path("/sys")) -> bool:
    """Whether `path` is a HID gadget's device, or a named pipe that stands in for one. Raises OSError if it is missing.

    >>> is_keyboard(Path("/dev/null")), is_keyboard(Path(__file__))
    (False, False)
    """
    found = path.stat()
    if stat.S_ISFIFO(found.st_mode):
        return True
    if not stat.S_ISCHR(found.st_mode):
        return False
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    return (sysfs / "dev/char" / number / "subsystem").resolve().name == "hidg"


class HidGadget:
    """Where reports go: /dev/hidg0, or a named pipe that stands in for it.

    It is opened when needed and never blocks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._led: bool | None = None
        self._news = False

    def write(self, report: bytes) -> None:
        """Hand over one report, or raise OSError: EAGAIN (the last is unread), ESHUTDOWN (unplugged).

        ENOTTY: what lies at `path` is no keyboard, and nothing was written to it.
        """
        try:
            if self._fd < 0:
                if not is_keyboard(self.path):
                    raise OSError(errno.ENOTTY, "no USB keyboard gadget", str(self.path))
                way = os.O_RDWR if self.path.is_char_device() else os.O_WRONLY
                self._fd = os.open(self.path, way | os.O_NONBLOCK | os.O_CLOEXEC)
            if os.write(self._fd, report) != len(report):
                raise OSError(errno.EIO, "report cut short")
        except BlockingIOError:
            raise
        except OSError:
            self.close()
            raise

    def caps_lock(self) -> bool:
        """Whether the computer has said since the last call that Caps Lock is on, by the keyboard's LEDs.

        It is told only once, so that a computer that never says otherwise is not switched to and fro.
        """
        self._listen()
        on, self._news = self._news, False
        return on

    def led(self) -> bool | None:
        """Whether the Caps Lock LED is lit by what the computer said last; None if it has said nothing."""
        self._listen()
        return self._led

    def close(self) -> None:
        """Close it; the next write opens it again."""
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
        self._fd, self._led = -1, None

    def _listen(self) -> None:
        with suppress(OSError):  # EAGAIN: nothing new; EBADF: a pipe, or not open
            while report := os.read(self._fd, 8):
                self._led = self._news = bool(report[-1] & CAPS_LOCK_LED)


def cause(error: OSError) -> str:
    """Why the computer takes nothing, and what to do about it."""
    match error.errno:
        case errno.EAGAIN:
            return "the computer takes no keys; is it asleep?"
        case errno.ESHUTDOWN | errno.ENXIO | errno.EPIPE | errno.ENODEV:
            return "no computer is connected; plug the USB-C port into one"
        case errno.ENOENT:
            return "missing; start dictate-keyboard.service"
        case errno.ENOTTY:
            return "no USB keyboard gadget; set sinks.keyboard.path to one, such as /dev/hidg0"
        case errno.EACCES | errno.EPERM:
            return "not permitted; give the user the device's group"
        case _:
            return error.strerror or str(error)
