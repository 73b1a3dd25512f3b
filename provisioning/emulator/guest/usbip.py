"""In the virtual Pi: USB devices that exist in software only, plugged into the kernel's virtual host controller.

    usbip.py coral     a Coral USB Accelerator as far as the bus sees it: 1a6e:089a, then, with firmware, 18d1:9302
    usbip.py ina219    an I2C adapter (i2c-tiny-usb) with a power meter INA219 at address 0x40

Lines of standard input: `unplug`, `plug`, and for the meter `VOLTS AMPS` (amperes are positive out of the battery).
What happens is printed. The kernel's vhci_hcd speaks USB/IP (Documentation/usb/usbip_protocol.rst) over any stream
socket; here it is one end of a socketpair. Nothing computes: the Coral takes firmware and answers no more.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

HEADER = struct.Struct(">5I 28s")
"""Command, sequence number, device, direction, endpoint; then 28 bytes by command."""
SUBMIT_BODY = struct.Struct(">Iiiii 8s")
RETURN_BODY = struct.Struct(">iiiii 8x")
UNLINK_BODY = struct.Struct(">I 24x")
UNLINKED_BODY = struct.Struct(">i 24x")
SUBMIT, UNLINK, SUBMITTED, UNLINKED = 1, 2, 3, 4
STALL, RESET = -32, -104
"""-EPIPE and -ECONNRESET."""

DEVICE, CONFIGURATION, STRING, BOS = 1, 2, 3, 15
FULL, HIGH, SUPER = 2, 3, 5
"""Speeds as vhci_hcd counts them: 12, 480 and 5000 Mbit/s."""

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
FREE = 4
"""Status of a port to which nothing is attached."""


class Device(Protocol):
    """A USB device: its descriptors, and what it answers to requests of its own."""

    speed: int

    def descriptors(self) -> tuple[bytes, bytes, tuple[str, ...]]:
        """Device, configuration with all that belongs to it, strings from number 1 on."""

    def request(self, setup: tuple[int, int, int, int, int], data: bytes) -> bytes | None:
        """A class or vendor request (type, request, value, index, length): its answer, None to refuse it."""

    @property
    def gone(self) -> bool:
        """Whether it leaves the bus, to come back as another."""


def device(vendor: int, product: int, speed: int) -> bytes:
    """A device descriptor (USB 3.2, 9.6.1)."""
    version, packet = {FULL: (0x0110, 8), HIGH: (0x0210, 64), SUPER: (0x0300, 9)}[speed]
    return struct.pack("<BBHBBBBHHHBBBB", 18, DEVICE, version, 0, 0, 0, packet, vendor, product, 0x100, 1, 2, 3, 1)


def configuration(*parts: bytes) -> bytes:
    """One configuration of one interface, 9.6.3."""
    body = b"".join(parts)
    return struct.pack("<BBHBBBBB", 9, CONFIGURATION, 9 + len(body), 1, 1, 0, 0x80, 50) + body


def interface(kind: int, sub: int, protocol: int, endpoints: int) -> bytes:
    """The interface descriptor, 9.6.5."""
    return bytes((9, 4, 0, 0, endpoints, kind, sub, protocol, 0))


def endpoint(address: int, kind: int, packet: int, interval: int, speed: int) -> bytes:
    """An endpoint descriptor (9.6.6), and what follows it at SuperSpeed (9.6.7)."""
    companion = bytes((6, 48, 0, 0, packet & 0xFF if kind == 3 else 0, packet >> 8 if kind == 3 else 0))
    return struct.pack("<BBBBHB", 7, 5, address, kind, packet, interval) + (companion if speed == SUPER else b"")


class Coral:
    """The Coral's boot loader (a DFU device), or the Coral with its firmware.

    Ids: libedgetpu. The boot loader leaves the bus once it has got firmware and has been asked for its status.
    """

    def __init__(self, firmware: bool = False, speed: int = SUPER) -> None:
        self.firmware, self.speed = firmware, speed
        self.loaded = 0
        self.gone = False
        self._manifest = False

    def descriptors(self) -> tuple[bytes, bytes, tuple[str, ...]]:
        if not self.firmware:
            functional = struct.pack("<BBBHHH", 9, 0x21, 1, 1000, 256, 0x0100)
            return (
                device(0x1A6E, 0x089A, self.speed),
                configuration(interface(0xFE, 1, 2, 0), functional),
                ("Global Unichip", "stand-in", "0"),
            )
        packet = 1024 if self.speed == SUPER else 512
        ends = [(0x01, 2, packet, 0), (0x81, 2, packet, 0), (0x82, 2, packet, 0), (0x83, 3, 16, 4)]
        parts = [endpoint(*end, self.speed) for end in ends]
        return (
            device(0x18D1, 0x9302, self.speed),
            configuration(interface(0xFF, 0xFF, 0xFF, 4), *parts),
            ("Google", "stand-in", "0"),
        )

    def request(self, setup: tuple[int, int, int, int, int], data: bytes) -> bytes | None:
        if self.firmware:
            return None
        match setup[:2]:
            case (0x21, 1):  # DFU_DNLOAD; one without data ends the firmware
                self._manifest = not data and self.loaded > 0
                self.loaded += len(data)
                return b""
            case (0xA1, 3):  # DFU_GETSTATUS: manifesting, or idle between blocks
                self.gone = self._manifest
                return bytes((0, 0, 0, 0, 7 if self._manifest else 5 if self.loaded else 2, 0))
            case _:
                return None


class Meter:
    """An INA219 (Texas Instruments SBOS448) on an adapter that the kernel's i2c-tiny-usb knows (0403:c631)."""

    ADDRESS = 0x40
    SHUNT_OHM = 0.01
    """What the kernel's driver takes for granted without a device tree."""

    def __init__(self, volts: float, amps: float) -> None:
        self.speed = FULL
        self.gone = False
        self.volts, self.amps = volts, amps
        self._written = {0: 0x399F, 5: 0}  # configuration and calibration, after power-on
        self._pointer = 0
        self._acknowledged = False

    def descriptors(self) -> tuple[bytes, bytes, tuple[str, ...]]:
        return (
            device(0x0403, 0xC631, self.speed),
            configuration(interface(0xFF, 0, 0, 0)),
            ("stand-in", "i2c-tiny-usb", "0"),
        )

    def request(self, setup: tuple[int, int, int, int, int], data: bytes) -> bytes | None:
        kind, command, _, address, length = setup
        reads = bool(kind & 0x80)
        if command == 1:
            return struct.pack("<I", 0x0EFF_0001)  # I2C_FUNC_I2C, and SMBus by it
        if command == 2:
            return b""
        if command == 3:
            return bytes((1 if self._acknowledged else 2,))
        if command & ~3 != 4:
            return None
        self._acknowledged = address == self.ADDRESS
        if reads:
            return (struct.pack(">H", self.register(self._pointer)) * (length // 2 + 1))[:length]
        self._take(data)
        return b""

    def register(self, number: int) -> int:
        """A register's 16 bits now: shunt 10 µV, bus 4 mV from bit 3 on, power, current by the calibration."""
        shunt = round(self.amps * self.SHUNT_OHM / 10e-6)
        current = shunt * self._written[5] // 4096
        bus = round(self.volts / 4e-3)
        power = abs(current) * bus // 5000
        values = {1: shunt, 2: bus << 3 | 2, 3: power, 4: current}  # bit 1 of the bus voltage: conversion ready
        return values.get(number, self._written.get(number, 0)) & 0xFFFF

    def _take(self, data: bytes) -> None:
        if self._acknowledged and data:
            self._pointer = data[0]
            if len(data) == 3 and self._pointer in self._written:
                self._written[self._pointer] = struct.unpack(">H", data[1:])[0]


def answer(device: Device, setup: tuple[int, int, int, int, int], data: bytes) -> bytes | None:
    """What the device says to a control request; None is a stall."""
    kind, request, value, _, length = setup
    if kind & 0x60:
        told = device.request(setup, data)
        return None if told is None else told[:length]
    match request:
        case 6:  # GET_DESCRIPTOR
            found = descriptor(device, value >> 8, value & 0xFF)
            return None if found is None else found[:length]
        case 0:  # GET_STATUS
            return bytes(2)[:length]
        case 8:  # GET_CONFIGURATION
            return b"\x01"
        case 1 | 3 | 9 | 11 | 0x30 | 0x31:  # features, configuration, interface, SET_SEL, SET_ISOCH_DELAY
            return b""
        case _:
            return None


def descriptor(device: Device, kind: int, index: int) -> bytes | None:
    """A standard descriptor; None where there is none."""
    first, whole, strings = device.descriptors()
    if kind == STRING:
        if index > len(strings):
            return None
        text = strings[index - 1].encode("utf-16-le") if index else struct.pack("<H", 0x0409)
        return bytes((2 + len(text), STRING)) + text
    if kind == BOS and device.speed == SUPER:
        parts = bytes.fromhex("07 10 02 00000000") + bytes.fromhex("0a 10 03 00 0e00 01 00 0000")
        return struct.pack("<BBHB", 5, BOS, 5 + len(parts), 2) + parts
    return {DEVICE: first, CONFIGURATION: whole}.get(kind)


def serve(link: socket.socket, device: Device) -> None:
    """Be the device at the end of a USB/IP connection, until it ends or the device leaves."""
    waiting: set[int] = set()
    while not device.gone:
        head = _exactly(link, HEADER.size)
        if head is None:
            return
        command, number, _, into_host, place, body = HEADER.unpack(head)
        if command == UNLINK:
            (other,) = UNLINK_BODY.unpack(body)
            status = RESET if other in waiting else 0
            waiting.discard(other)
            link.sendall(HEADER.pack(UNLINKED, number, 0, 0, 0, UNLINKED_BODY.pack(status)))
            continue
        _, length, _, _, _, raw = SUBMIT_BODY.unpack(body)
        data = b"" if into_host else _exactly(link, length)
        if data is None:
            return
        if place:  # no endpoint but the first has anything to say; what is sent to one is taken
            if into_host:
                waiting.add(number)
            else:
                link.sendall(_returned(number, 0, length, b""))
            continue
        told = answer(device, struct.unpack("<BBHHH", raw), data)
        if told is None:
            link.sendall(_returned(number, STALL, 0, b""))
        else:
            link.sendall(_returned(number, 0, len(told) if into_host else length, told if into_host else b""))


def _returned(number: int, status: int, count: int, data: bytes) -> bytes:
    return HEADER.pack(SUBMITTED, number, 0, 0, 0, RETURN_BODY.pack(status, count, 0, 0, 0)) + data


def _exactly(link: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        try:
            more = link.recv(count - len(data))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data


def free_port(status: str, speed: int) -> int:
    """The first port of vhci_hcd's status file to which nothing is attached, of a hub of this speed.

    >>> free_port("hub port sta spd dev sockfd local_busid\\nhs 0000 006 003 1 3 1-1\\nhs 0001 004 000 0 0 0-0", HIGH)
    1
    """
    hub = "ss" if speed == SUPER else "hs"
    for line in status.splitlines()[1:]:
        words = line.split()
        if words[0] == hub and int(words[2]) == FREE:
            return int(words[1])
    raise OSError(f"vhci_hcd has no free port of hub {hub}")


class Plug:
    """A device in the virtual port, served by a thread until `pull`."""

    def __init__(self, device: Device, number: int) -> None:
        self._link, kernels = socket.socketpair()
        port = free_port((VHCI / "status").read_text(), device.speed)
        with kernels:
            (VHCI / "attach").write_text(f"{port} {kernels.fileno()} {number} {device.speed}")
        self.thread = threading.Thread(target=self._serve, args=(device,), daemon=True)
        self.thread.start()

    def _serve(self, device: Device) -> None:
        serve(self._link, device)
        self._link.close()

    def pull(self) -> None:
        """Take it out; the kernel sees the connection end."""
        with suppress(OSError):  # it may have left by itself
            self._link.shutdown(socket.SHUT_RDWR)
        self.thread.join()


def lines(pause_s: float = 0.1) -> Iterator[str]:
    """Lines of standard input as they come, and an empty one every `pause_s`."""
    waiting = b""
    while True:
        if b"\n" in waiting:
            line, _, waiting = waiting.partition(b"\n")
            yield line.decode().strip()
        elif not select.select([0], [], [], pause_s)[0]:
            yield ""
        elif more := os.read(0, 4_096):
            waiting += more
        else:
            return


def be_coral() -> None:
    """The Coral in and out, with and without its firmware."""
    coral = Coral()
    plug: Plug | None = Plug(coral, 1)
    print("boot loader", flush=True)
    for line in lines():
        if line == "unplug" and plug is not None:
            plug.pull()
            plug = None
            print("unplugged", flush=True)
        elif line == "plug" and plug is None:
            coral = Coral()
            plug = Plug(coral, 1)
            print("boot loader", flush=True)
        elif coral.gone and plug is not None:
            plug.pull()
            print(f"firmware of {coral.loaded} bytes", flush=True)
            coral = Coral(firmware=True)
            plug = Plug(coral, 2)
            print("firmware runs", flush=True)


def be_meter() -> None:
    """The meter in and out, and what it measures. Its driver is asked for, since I2C finds nothing by itself."""
    meter = Meter(4.0, 0.5)
    plug: Plug | None = Plug(meter, 3)
    _ask_for_driver()
    for line in lines():
        if line == "unplug" and plug is not None:
            plug.pull()
            plug = None
            print("unplugged", flush=True)
        elif line == "plug" and plug is None:
            plug = Plug(meter, 3)
            _ask_for_driver()
        elif line:
            meter.volts, meter.amps = map(float, line.split())


def _ask_for_driver() -> None:
    while True:
        for adapter in Path("/sys/bus/i2c/devices").glob("i2c-*"):
            if "i2c-tiny-usb" in (adapter / "name").read_text():
                (adapter / "new_device").write_text(f"ina219 {Meter.ADDRESS:#x}")
                print("plugged in", flush=True)
                return
        time.sleep(0.1)


if __name__ == "__main__":
    {"coral": be_coral, "ina219": be_meter}[sys.argv[1]]()
