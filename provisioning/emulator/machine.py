"""The board: one QEMU process, its command line and its sockets.

with Qemu.start(Board(), Boot(kernel, initrd, tree), Drive(overlay), Path("run")) as machine:
    machine.serial.wait("login:", 120)
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioning.emulator.console import Console, Shell
from provisioning.emulator.gpio import LINES, Pins
from provisioning.emulator.links import QMP, QTest, connect

PORTS = {"keys": "/dev/virtio-ports/virtual-pi.keys", "kept": "/dev/virtio-ports/virtual-pi.kept"}
"""Where programs in the guest tell the host something, by name."""

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Board:
    """What is emulated. The processor is chosen for its speed in emulation, see docs/virtual-pi.md."""

    qemu: str = "qemu-system-aarch64"
    cpu: str = "cortex-a72"
    cores: int = 2
    memory_mb: int = 2048

    def cpu_options(self) -> list[str]:
        """The options that the device tree depends on."""
        return ["-cpu", self.cpu, "-smp", str(self.cores), "-m", str(self.memory_mb)]


@dataclass(frozen=True, slots=True)
class Boot:
    """What is started: the image's own kernel and initial RAM disk, and the board's device tree."""

    kernel: Path
    initrd: Path
    tree: Path
    root: str = "root=LABEL=RASPIROOT ro"
    modules: tuple[str, ...] = ("dummy_hcd", "snd-aloop", "uhid")
    more: str = ""

    def command_line(self) -> str:
        """The kernel's command line: serial console, root shell on hvc0, stand-ins for microphone and USB port."""
        return " ".join(
            (
                self.root,
                "console=ttyAMA0,115200",
                "systemd.service_watchdogs=0",  # one window of the recogniser takes longer here than WatchdogSec
                "systemd.debug_shell=hvc0 systemd.mask=serial-getty@hvc0.service systemd.show_status=true",
                f"modules_load={','.join(self.modules)}" if self.modules else "",
                "snd_aloop.id=Loopback snd_aloop.pcm_substreams=1",
                self.more,
            )
        ).strip()


@dataclass(frozen=True, slots=True)
class Drive:
    """The card: a raw or qcow2 file, and where its block writes are recorded, if they are."""

    file: Path
    log: Path | None = None

    def options(self) -> list[str]:
        """QEMU's options; the kernel sees a card of volatile write cache, so it flushes.

        Requests are not merged: blklogwrites adds a header to each, and one of 1024 pieces would have one too many.
        """
        nodes: list[dict[str, object]] = [
            {"driver": "file", "node-name": "card-file", "filename": str(self.file)},
            {"driver": "qcow2" if self.file.suffix == ".qcow2" else "raw", "node-name": "card", "file": "card-file"},
        ]
        if self.log is not None:
            self.log.write_bytes(b"")
            nodes += [
                {"driver": "file", "node-name": "log-file", "filename": str(self.log)},
                {"driver": "blklogwrites", "node-name": "logged", "file": "card", "log": "log-file",
                 "log-sector-size": 512},
            ]  # fmt: skip
        options = [word for node in nodes for word in ("-blockdev", json.dumps(node))]
        drive = nodes[-1]["node-name"]
        return [*options, "-device", f"virtio-blk-pci,drive={drive},discard=off,write-zeroes=off,request-merging=off"]


class Qemu:
    """A running board. Leaving the block kills it, which is no power cut: see `provisioning.emulator.power_loss`."""

    def __init__(
        self, process: subprocess.Popen[bytes], sockets: Path, logs: Path, told: Callable[[str], None]
    ) -> None:
        self.process = process
        self.started = time.monotonic()
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        self._stack.callback(self._kill)

        def link(name: str) -> socket.socket:
            return connect(sockets / name, lambda: process.poll() is None)

        def console(name: str, on_line: Callable[[str], None] | None = None) -> Console:
            opened = Console(link(name), logs / f"{name}.log", on_line)
            self._stack.callback(opened.close)
            return opened

        try:
            self.serial, self.shell = console("serial"), Shell(console("shell"))
            self.ports = {name: console(name, told) for name in PORTS}
            self.qmp, self._qtest = QMP(link("qmp")), QTest(link("qtest"))
            self._stack.callback(self.qmp.close)
            self._stack.callback(self._qtest.close)
            self.pins = Pins(self.qmp, self._qtest)
            self._before_start()
            self.qmp.command("cont")
        except BaseException:
            self._stack.close()
            raise

    @classmethod
    def start(
        cls,
        board: Board,
        boot: Boot,
        disk: Drive,
        folder: Path,
        told: Callable[[str], None] = lambda line: None,
        tools: Path | None = None,
    ) -> Self:
        """Start QEMU with its logs in `folder`; `told` gets each line that comes through a port.

        `tools`, a file of whole sectors, is a second disk that the guest can only read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        sockets = Path(tempfile.mkdtemp(prefix="virtual-pi-"))  # a socket's path may have 107 bytes: unix(7)
        complaints = folder / "qemu.log"
        with complaints.open("wb") as errors:
            process = subprocess.Popen(
                [*command(board, boot, disk, sockets), *_second_disk(tools)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                preexec_fn=_die_with_parent,
            )
        try:
            return cls(process, sockets, folder, told)
        except Exception as error:
            said = complaints.read_text(errors="replace").strip()
            raise RuntimeError(f"{board.qemu}: {error}{': ' + said if said else ''}") from error

    def seconds(self) -> float:
        """Since power came."""
        return time.monotonic() - self.started

    def wait_off(self, seconds: float) -> None:
        """Wait until the machine has switched itself off. Raises TimeoutError."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the virtual Pi was not off after {seconds:.0f} s") from None

    def kill(self) -> None:
        """End the emulator at once."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _before_start(self) -> None:
        """Lines idle low: put them high, as pull-ups do, before the first instruction."""
        for line in range(LINES):
            self.pins.drive(line, True)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def command(board: Board, boot: Boot, disk: Drive, sockets: Path) -> list[str]:
    """The QEMU command line, with its sockets in a folder."""

    def chardev(name: str) -> str:
        return f"socket,id={name},path={sockets / name},server=on,wait=off"

    ports = [
        word
        for name, path in PORTS.items()
        for word in ("-chardev", chardev(name), "-device", f"virtserialport,chardev={name},name={Path(path).name}")
    ]
    return [
        board.qemu, "-M", "virt", "-accel", "tcg,thread=multi,tb-size=512", *board.cpu_options(), "-S",
        "-display", "none", "-nodefaults", "-no-user-config", "-nic", "none", "-no-reboot",
        "-kernel", str(boot.kernel), "-initrd", str(boot.initrd), "-dtb", str(boot.tree),
        "-append", boot.command_line(),
        *disk.options(),
        "-chardev", chardev("serial"), "-serial", "chardev:serial",
        "-device", "virtio-serial-pci",
        "-chardev", chardev("shell"), "-device", "virtconsole,chardev=shell",
        *ports,
        "-device", "virtio-rng-pci",
        "-qmp", f"unix:{sockets}/qmp,server=on,wait=off",
        "-qtest", f"unix:{sockets}/qtest,server=on,wait=off", "-qtest-log", "none",
    ]  # fmt: skip


def _second_disk(file: Path | None) -> list[str]:
    if file is None:
        return []
    node = {"driver": "raw", "node-name": "tools", "read-only": True, "file": {"driver": "file", "filename": str(file)}}
    return ["-blockdev", json.dumps(node), "-device", "virtio-blk-pci,drive=tools,serial=tools"]


def _die_with_parent() -> None:
    """Have the kernel kill QEMU when this program dies, however it does (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)  # Ctrl-C goes to this program, which then cleans up
