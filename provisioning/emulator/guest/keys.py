"""In the virtual Pi, as the computer at the other end of the USB cable: print the keys that the gadget types.

keys.py PORT: writes `key CODE VALUE` lines to PORT, and `ready` once the keyboard is there; grabs it, so that no
login sees the keys. Waits for the keyboard again when it goes.
"""

import fcntl
import struct
import sys
import time
from pathlib import Path

EVIOCGRAB = 0x40044590  # linux/input.h
EVENT = struct.Struct("llHHi")
EV_KEY = 1


def keyboard() -> Path | None:
    """The input device of the dictation gadget."""
    for block in Path("/proc/bus/input/devices").read_text().split("\n\n"):
        if 'Name="Coral Dictation Keyboard"' in block:
            handlers = block.partition("Handlers=")[2].split("\n")[0].split()
            return next((Path("/dev/input", name) for name in handlers if name.startswith("event")), None)
    return None


def main() -> None:
    with Path(sys.argv[1]).open("w", buffering=1) as port:
        while True:
            device = keyboard()
            if device is None:
                time.sleep(0.1)
                continue
            try:
                with device.open("rb", buffering=0) as events:
                    fcntl.ioctl(events, EVIOCGRAB, 1)
                    print("ready", file=port)
                    while data := events.read(EVENT.size):
                        _, _, kind, code, value = EVENT.unpack(data)
                        if kind == EV_KEY:
                            print("key", code, value, file=port)
            except OSError:
                print("gone", file=port)
                time.sleep(0.1)


if __name__ == "__main__":
    main()
