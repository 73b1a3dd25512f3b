"""In the virtual Pi: loads 1000 bytes into a Coral's boot loader through its device node, as libedgetpu begins to.

dfu.py /dev/bus/usb/BBB/DDD: three requests of USB's Device Firmware Upgrade class (1.1, 6.1), by usbdevfs. Raises
PermissionError where the node may not be opened for writing.
"""

import ctypes
import fcntl
import os
import struct
import sys

USBDEVFS_CONTROL = 0xC0185500  # linux/usbdevice_fs.h
TIMEOUT_MS = 5_000


def control(node: int, kind: int, request: int, data: bytearray) -> None:
    """One control transfer; `data` is sent, or filled."""
    buffer = (ctypes.c_char * max(1, len(data))).from_buffer(data or bytearray(1))
    transfer = struct.pack("<BBHHHI4xQ", kind, request, 0, 0, len(data), TIMEOUT_MS, ctypes.addressof(buffer))
    fcntl.ioctl(node, USBDEVFS_CONTROL, bytearray(transfer))


def main() -> None:
    node = os.open(sys.argv[1], os.O_RDWR)
    status = bytearray(6)
    control(node, 0x21, 1, bytearray(1000))
    control(node, 0xA1, 3, status)
    control(node, 0x21, 1, bytearray())
    control(node, 0xA1, 3, status)
    print("state", status[4])


if __name__ == "__main__":
    main()
