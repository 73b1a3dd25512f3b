"""In the virtual Pi: a battery of the power_supply class, made of a HID device that exists in software only (UHID).

battery.py PERCENT: reports PERCENT every second; a line of standard input is a new percentage. Event layouts:
linux/uhid.h; the report descriptor has one Battery Strength field (HID usage table, page 06, usage 20), which makes
the kernel's hid-input register a battery. Reports that come before it has done so are lost.
"""

import os
import select
import struct
import sys

UHID_CREATE2, UHID_INPUT2 = 11, 12
BUS_USB = 3
DESCRIPTOR = bytes.fromhex("05010906a1018501050719e029e7150025017501950881020506092015002564750895018102c0")


def main() -> None:
    device = os.open("/dev/uhid", os.O_RDWR)
    identity = (b"virtual battery", b"virtual-pi", b"u1", len(DESCRIPTOR), BUS_USB, 0x1234, 0x5678, 1, 0)
    os.write(device, struct.pack("<I128s64s64sHHIIII4096s", UHID_CREATE2, *identity, DESCRIPTOR))
    percent = int(sys.argv[1])
    while True:
        os.write(device, struct.pack("<IH4096s", UHID_INPUT2, 3, bytes([1, 0, percent])))
        if select.select([sys.stdin], [], [], 1.0)[0] and (line := sys.stdin.readline()):
            percent = int(line)


if __name__ == "__main__":
    main()
