"""The virtual Pi's USB devices by the protocol that the kernel speaks to them, over the socket of a host made here.

The kernel itself is the other end in tests/system/virtual_pi.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.inference.edgetpu.usb import BOOTLOADER, RUNNING
from provisioning.emulator.guest import usbip
from provisioning.emulator.guest.usbip import Coral, Device, Meter

STALLED = -32


class Host:
    """The kernel's side: usbip_header of include/uapi and drivers/usb/usbip/usbip_common.h, written out anew."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.number = 0

    def submit(self, into_host: bool, place: int, setup: bytes, data: bytes = b"", length: int = 0) -> int:
        self.number += 1
        head = struct.pack(">5I", 1, self.number, 1 << 16 | 2, into_host, place)
        self.link.sendall(head + struct.pack(">Iiiii", 0, length or len(data), 0, 0, 0) + setup + data)
        return self.number

    def returned(self) -> tuple[int, int, int]:
        """Command, sequence number and status, and the count of bytes of a transfer (0 of an UNLINK)."""
        head = self.link.recv(48, socket.MSG_WAITALL)
        assert len(head) == 48
        command, number, device, direction, place = struct.unpack(">5I", head[:20])
        assert (device, direction, place) == (0, 0, 0)
        status, count = struct.unpack(">ii", head[20:28])
        self.count = count
        return command, number, status

    def control(
        self, kind: int, request: int, value: int = 0, index: int = 0, data: bytes = b"", length: int = 0
    ) -> bytes:
        """A control transfer; raises OSError for a stall."""
        into_host = bool(kind & 0x80)
        setup = struct.pack("<BBHHH", kind, request, value, index, length or len(data))
        number = self.submit(into_host, 0, setup, data, length)
        command, answered, status = self.returned()
        assert (command, answered) == (3, number)
        if status:
            raise OSError(-status, "refused")
        if not into_host:
            assert self.count == len(data)
            return b""
        assert self.count <= length
        return self.link.recv(self.count, socket.MSG_WAITALL) if self.count else b""

    def descriptor(self, kind: int, index: int = 0, length: int = 255) -> bytes:
        return self.control(0x80, 6, kind << 8 | index, length=length)


@contextmanager
def plugged(device: Device) -> Iterator[Host]:
    theirs, ours = socket.socketpair()
    ours.settimeout(20)
    thread = threading.Thread(target=usbip.serve, args=(theirs, device), daemon=True)
    thread.start()
    try:
        yield Host(ours)
    finally:
        ours.close()
        thread.join(20)
        theirs.close()
        assert not thread.is_alive()


def pieces(whole: bytes) -> list[bytes]:
    """Descriptors that follow each other, by their own lengths."""
    found = []
    while whole:
        assert whole[0] >= 2
        found.append(whole[: whole[0]])
        whole = whole[whole[0] :]
    return found


@pytest.mark.parametrize("speed", [usbip.HIGH, usbip.SUPER])
@pytest.mark.parametrize("firmware", [False, True])
def test_it_says_that_it_is_a_coral(firmware: bool, speed: int) -> None:
    with plugged(Coral(firmware, speed)) as host:
        first = host.descriptor(1, length=18)
        assert (first[0], first[1], len(first)) == (18, 1, 18)
        ids = tuple(f"{number:04x}" for number in struct.unpack_from("<HH", first, 8))
        assert ids == (RUNNING if firmware else BOOTLOADER)
        assert host.descriptor(1, length=8) == first[:8], "the kernel asks for a part first"
        head = host.descriptor(2, length=9)
        whole = host.descriptor(2, length=struct.unpack_from("<H", head, 2)[0])
        parts = pieces(whole)
        ends = [part for part in parts if part[1] == 5]
        assert whole[:9] == head and parts[1][4] == len(ends) == (4 if firmware else 0)
        assert len([part for part in parts if part[1] == 48]) == (len(ends) if speed == usbip.SUPER else 0)
        assert host.descriptor(3, 1)[2:].decode("utf-16-le") == ("Google" if firmware else "Global Unichip")
        if speed == usbip.SUPER:
            bos = host.descriptor(15)
            assert struct.unpack_from("<H", bos, 2)[0] == len(bos) and len(pieces(bos)) == 1 + bos[4]
        with pytest.raises(OSError):
            host.descriptor(6)
        assert host.control(0, 9, 1) == b""


@given(blocks=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_firmware_makes_it_leave_the_bus(blocks: list[int]) -> None:
    coral = Coral()
    with plugged(coral) as host:
        for size in blocks:
            host.control(0x21, 1, data=bytes(size))
            assert host.control(0xA1, 3, length=6)[4] == 5 and not coral.gone
        host.control(0x21, 1)
        assert host.control(0xA1, 3, length=6)[4] == 7
    assert coral.gone and coral.loaded == sum(blocks)


def test_a_transfer_that_waits_can_be_taken_back() -> None:
    with plugged(Coral(firmware=True)) as host:
        waiting = host.submit(True, 1, bytes(8), length=512)
        sent = host.submit(False, 1, bytes(8), bytes(4_096))
        assert host.returned() == (3, sent, 0) and host.count == 4_096
        for status in (-104, 0):  # once it has been taken back, it is not there
            host.link.sendall(struct.pack(">6I 24x", 2, 99, 1 << 16 | 2, 0, 0, waiting))
            assert host.returned() == (4, 99, status)


@given(
    volts=st.floats(0, 26),
    amps=st.floats(-3.0, 3.0),
    calibration=st.integers(1, 0x7FFF),
)
def test_the_meter_measures_as_its_data_sheet_says(volts: float, amps: float, calibration: int) -> None:
    def register(host: Host, number: int) -> int:
        host.control(0x41, 5, index=Meter.ADDRESS, data=bytes((number,)))
        value: int = struct.unpack(">h", host.control(0xC1, 6, 1, Meter.ADDRESS, length=2))[0]
        return value

    with plugged(Meter(volts, amps)) as host:
        assert struct.unpack("<I", host.control(0xC1, 1, length=4))[0] & 1
        host.control(0x41, 7, index=Meter.ADDRESS, data=struct.pack(">BH", 5, calibration))
        assert host.control(0xC1, 3, length=1) == b"\x01"
        assert register(host, 5) == calibration
        assert (register(host, 2) & 0xFFFF) >> 3 == pytest.approx(volts / 0.004, abs=0.51)
        shunt = register(host, 1)
        assert shunt == pytest.approx(amps * Meter.SHUNT_OHM / 10e-6, abs=0.51)
        if abs(current := shunt * calibration // 4096) < 1 << 15:
            assert register(host, 4) == current
        host.control(0x41, 7, index=0x41, data=b"\x00")
        assert host.control(0xC1, 3, length=1) == b"\x02", "nothing is at another address"


def test_a_port_of_its_speed_that_is_free() -> None:
    status = (
        "hub port sta spd dev      sockfd local_busid\n"
        "hs  0000 006 003 00010002 000003 1-1\nhs  0001 004 000 00000000 000000 0-0\n"
        "ss  0015 006 005 00010003 000004 1-2\nss  0016 004 000 00000000 000000 0-0\n"
    )
    assert (usbip.free_port(status, usbip.HIGH), usbip.free_port(status, usbip.SUPER)) == (1, 16)
    with pytest.raises(OSError, match="no free port"):
        usbip.free_port(status.replace(" 004 ", " 006 "), usbip.FULL)


def test_orders_that_come_together_are_all_taken() -> None:
    code = "import usbip\nfor line in usbip.lines():\n    print(line, flush=True) if line else None"
    folder = str(Path(usbip.__file__).parent)
    orders = "3.35 0.85\nplug\n\nunplug\n"
    told = subprocess.run([sys.executable, "-c", code], input=orders, cwd=folder, capture_output=True, text=True)
    assert told.stdout.splitlines() == ["3.35 0.85", "plug", "unplug"], told.stderr
