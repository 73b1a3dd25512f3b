"""The keyboard through a real kernel: configfs, f_hid, a USB bus in memory (dummy_hcd), usbhid, evdev.

Skipped unless root has loaded dummy_hcd and libcomposite and mounted configfs, as the virtual Pi can. The
input device is grabbed, so that nothing else on the machine sees the keys.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from needs import Need, unless
from usb_host import EVDEV, Xkb

from device.output import layouts
from device.output.hid_gadget import HidGadget
from device.output.journal import Journal
from device.output.keyboard import Keyboard

SCRIPT = Path(__file__).parents[3] / "provisioning/rootfs-overlay/all/usr/lib/dictate/keyboard-gadget"
UDC = Path("/sys/class/udc/dummy_udc.0")
GADGET = Path("/sys/kernel/config/usb_gadget/dictate")
HIDG = Path("/dev/hidg0")
EVIOCGRAB = 0x40044590
EV_LED, LED_CAPSL, KEY_CAPSLOCK = 0x11, 1, 58
EVENT = struct.Struct("llHHi")
HOST_TIMEOUT_S = 2.0

pytestmark = unless(
    os.geteuid() == 0 and UDC.exists() and GADGET.parent.is_dir(),
    Need.KERNEL,
    "modules dummy_hcd and libcomposite, configfs mounted, root",
)


def gadget(command: str) -> None:
    subprocess.run([SCRIPT, "--udc", UDC.name, command], check=True, timeout=30)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def connected() -> Iterator[None]:
    gadget("start")
    until(lambda: HIDG.exists() and input_device() is not None)
    yield
    gadget("stop")
    until(lambda: not HIDG.exists())


def input_device() -> str | None:
    """The computer's input device for the keyboard, as /dev/input/event*."""
    for block in Path("/proc/bus/input/devices").read_text().split("\n\n"):
        if 'Name="Coral Dictation Keyboard"' in block:
            handlers = block.partition("Handlers=")[2].split("\n")[0].split()
            return next((f"/dev/input/{name}" for name in handlers if name.startswith("event")), None)
    return None


class Desktop:
    """Reads key events and makes text of them with libxkbcommon."""

    def __init__(self, layout: str) -> None:
        self.reader = Xkb(layout)
        device = input_device()
        assert device is not None
        self.fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, EVIOCGRAB, 1)
        self.screen, self.held = "", 0
        self.presses: list[int] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        usages = {code: usage for usage, code in EVDEV.items() if usage != 0x31}
        bits = {42: layouts.SHIFT, 100: layouts.ALTGR}
        while not self.stop.is_set():
            if not select.select([self.fd], [], [], 0.05)[0]:
                continue
            try:
                events = os.read(self.fd, EVENT.size * 64)
            except OSError:
                return
            for _, _, kind, code, value in EVENT.iter_unpack(events):
                if kind != 1:
                    continue
                if value == 1:
                    self.presses.append(code)
                if code == KEY_CAPSLOCK:
                    continue
                if code in bits:
                    self.held = self.held | bits[code] if value else self.held & ~bits[code]
                elif value == 1 and code == 14:
                    self.screen = self.screen[:-1]
                elif value == 1:
                    self.screen += self.reader.press(usages[code], self.held)

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        os.close(self.fd)


class Typist:
    def __init__(self, layout: str = "us") -> None:
        self.journal = Journal(None, time.time, "boot")
        self.troubles: list[str | None] = []
        self.keyboard = Keyboard(
            HidGadget(HIDG),
            layouts.strokes(layouts.LAYOUTS[layout]),
            rate=100.0,
            queue=100,
            host_timeout_s=HOST_TIMEOUT_S,
            clock=time.monotonic,
            mark=self.journal.mark,
            on_status=self.troubles.append,
        )
        self.thread = threading.Thread(target=self.keyboard.run)
        self.thread.start()

    def put(self, text: str, delete: int = 0) -> None:
        self.keyboard.deliver(self.journal.append(delete, text))

    def states(self) -> list[str]:
        return [entry.state for entry in self.journal.entries()]

    def close(self) -> None:
        self.keyboard.close()
        self.thread.join()
        self.keyboard.finish()


def test_setting_up_twice_changes_nothing_and_removing_leaves_nothing() -> None:
    gadget("start")
    made = GADGET.stat().st_ino
    gadget("start")
    gadget("status")
    assert GADGET.stat().st_ino == made
    until(lambda: input_device() is not None)
    gadget("start")
    assert GADGET.stat().st_ino == made
    gadget("stop")
    assert not GADGET.exists()


@pytest.mark.parametrize("layout", sorted(layouts.LAYOUTS))
def test_a_desktop_reads_what_was_written(layout: str, connected: None) -> None:
    desktop, typist = Desktop(layout), Typist(layout)
    text = "".join(sorted(layouts.strokes(layouts.LAYOUTS[layout])))
    typist.put(text)
    typist.put("Hello, World!", delete=3)
    until(lambda: typist.keyboard.idle)
    until(lambda: desktop.screen == text[:-3] + "Hello, World!", 2.0)
    typist.close()
    desktop.close()
    assert typist.states() == ["typed", "typed"]
    assert typist.troubles == []


def test_caps_lock_on_the_desktop_is_switched_off(connected: None) -> None:
    desktop, typist = Desktop("us"), Typist()
    until(lambda: typist.keyboard.idle and HIDG.exists())
    typist.put("a")
    until(lambda: desktop.screen == "a")
    with Path(input_device() or "").open("wb", buffering=0) as leds:
        leds.write(EVENT.pack(0, 0, EV_LED, LED_CAPSL, 1) + EVENT.pack(0, 0, 0, 0, 0))
    time.sleep(0.5)
    typist.put("b")
    until(lambda: desktop.screen == "ab")
    typist.put("c")
    until(lambda: desktop.screen == "abc")
    typist.close()
    desktop.close()
    assert desktop.presses.count(KEY_CAPSLOCK) == 1


def test_a_computer_that_stops_listening_holds_nothing_up(connected: None) -> None:
    driver = Path("/sys/bus/usb/drivers/usbhid")
    bound = next(link.name for link in driver.iterdir() if ":" in link.name and link.is_symlink())
    typist = Typist()
    (driver / "unbind").write_text(bound)
    begun = time.monotonic()
    typist.put("lost")
    assert time.monotonic() - begun < 0.5
    until(lambda: typist.keyboard.idle, HOST_TIMEOUT_S + 5)
    assert typist.states() == ["dropped"]
    assert len(typist.troubles) == 1
    (driver / "bind").write_text(bound)
    until(lambda: typist.troubles[-1] is None)
    typist.close()


def test_text_waits_for_a_cable_that_is_plugged_in_again(connected: None) -> None:
    typist = Typist()
    (GADGET / "UDC").write_text("\n")
    typist.put("after")
    until(lambda: typist.troubles != [])
    (GADGET / "UDC").write_text(UDC.name)
    until(lambda: typist.keyboard.idle)
    assert typist.states() == ["typed"]
    assert typist.troubles[-1] is None
    typist.close()
