"""The virtual Pi as its user has it: a button to press, LEDs to look at, a microphone to speak into, a screen.

with VirtualPi.boot(Card.of(image), disk, Path("run")) as pi:
    pi.until_ready()
    pi.speak(padded(recording))
    print(pi.screen_text())
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioning.emulator import blocklog, card, devicetree
from provisioning.emulator.card import Card
from provisioning.emulator.gpio import Button, Leds
from provisioning.emulator.keys import Screen
from provisioning.emulator.leds import reading
from provisioning.emulator.links import LinkError
from provisioning.emulator.machine import PORTS, Board, Boot, Drive, Qemu

GUEST = Path(__file__).with_name("guest")
TOOLS = "/run/virtual-pi"
"""Where the guest has the programs and recordings that were handed to it: memory, not the card."""

READY, LISTENING, FAULT = 0, 1, 2
STEADY_S = 6.0
"""An LED that has been on for so long is steady, however much a busy emulator stretches a rhythm."""
MICROPHONE = "plughw:Loopback,0,0"  # the appliance opens two channels, and both ends of the loopback must agree
"""The side of snd-aloop that is played into; the appliance records from the other."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which PL061 lines the button and the LEDs are on: what `config` tells the image."""

    button: int = 5
    leds: tuple[int, int, int] = (6, 7, 4)

    def config(self) -> str:
        """The lines of dictation.toml that fit this board."""
        return (
            f'[audio]\ndevice = "hw:0,1"\n\n[panel]\nbutton_pin = {self.button}\nleds.pins = {list(self.leds)}\n'
            "shutdown_press_s = 30.0  # words are heard so late here that talking is taken for a long press\n\n"
            '[recognizer]\nmode = "streaming"  # the emulator is too slow for more\n'
            "threads = 1  # the other core is capture's\n\n"
            "[realtime]\nencoder_cpus = [0, 1]\ndecoder_cpus = [0, 1]\n"
        )


@dataclass(frozen=True, slots=True)
class Received:
    """A moment at which the screen changed."""

    at: int
    """Entries that the record of block writes showed then; 0 without a record."""
    text: str
    """What the screen shows from now on."""


class VirtualPi:
    """A booted card. `boot` makes one; leaving the block ends it."""

    def __init__(self, machine: Qemu, wiring: Wiring, witness: Witness) -> None:
        self.machine = machine
        self.shell = machine.shell
        self.button = Button(machine.pins, wiring.button)
        self.leds = Leds(machine.pins, wiring.leds)
        self.witness = witness

    @classmethod
    def boot(
        cls,
        image: Card,
        disk: Drive,
        folder: Path,
        board: Board | None = None,
        wiring: Wiring | None = None,
        files: Mapping[str, bytes] | None = None,
        more: str = "",
    ) -> Self:
        """Start the card in `disk` with the kernel of `image`; logs go to `folder`.

        `files` are handed to the guest in TOOLS beside the programs of `guest/`; `more` is added to the kernel's
        command line.
        """
        board = board or Board()
        folder.mkdir(parents=True, exist_ok=True)
        kernel, initrd = card.kernel_and_initrd(image, folder)
        tree = folder / "virtual-pi.dtb"
        devicetree.make(tree, board)
        tools = folder / "tools.tar"
        tools.write_bytes(_tar({path.name: path.read_bytes() for path in GUEST.glob("*.py")} | dict(files or {})))
        witness = Witness(disk.log)
        boot = Boot(kernel, initrd, tree, more=more)
        machine = Qemu.start(board, boot, disk, folder, witness.line, tools)
        return cls(machine, wiring or Wiring(), witness)

    def open_shell(self, seconds: float = 600.0) -> None:
        """Wait for the root shell, unpack the tools and start the computer at the end of the USB cable."""
        self.machine.serial.wait(r"login: ", seconds)
        self.shell.wait(60)
        self.shell.run(f"mkdir -p {TOOLS} && tar -C {TOOLS} -xf /dev/disk/by-id/virtio-tools", 60)
        self.shell.background(f"exec python3 -sP {TOOLS}/keys.py {PORTS['keys']}", f"{TOOLS}/keys.log")
        self.machine.ports["keys"].wait("^ready", 120)

    def until(self, what: str, holds: Callable[[], bool], seconds: float, every_s: float = 0.02) -> float:
        """Wait until `holds`, and return how long that took. Raises LinkError, naming `what`."""
        begun = time.monotonic()
        while not holds():
            if self.machine.process.poll() is not None:
                raise LinkError(f"waited for {what}: the machine ended")
            if time.monotonic() - begun > seconds:
                raise LinkError(f"waited for {what}: not within {seconds:.0f} s; LEDs: {self.leds_say(4.0)}")
            time.sleep(every_s)
        return time.monotonic() - begun

    def until_ready(self, seconds: float = 900.0) -> float:
        """Wait for the ready LED; return the seconds. *Starting* blinks it, slowly where the machine is busy."""
        since: float | None = None

        def steady() -> bool:
            nonlocal since
            if not self.leds.lit()[READY]:
                since = None
            elif since is None:
                since = time.monotonic()
            return since is not None and time.monotonic() - since >= STEADY_S

        return self.until("the ready LED", steady, seconds) - STEADY_S

    def leds_say(self, seconds: float = 8.0) -> tuple[str, str, str]:
        """What the three LEDs tell, seen for a while; see `provisioning.emulator.leds`."""
        seen = self.leds.watch(seconds)
        return reading(seen, READY), reading(seen, LISTENING), reading(seen, FAULT)

    def press(self, seconds: float = 60.0) -> float:
        """Press the button; return the seconds until the listening LED is on."""
        self.button.press()
        return self.until("the listening LED", lambda: self.leds.lit()[LISTENING], seconds, 0.002)

    def play(self, name: str, seconds: float = 60.0) -> None:
        """Play a recording that was handed over into the microphone."""
        self.shell.run(f"aplay -q -D {MICROPHONE} {TOOLS}/{name}", seconds)

    def release(self, seconds: float = 600.0) -> float:
        """Let the button go; return the seconds until the words are found and the appliance is ready again."""
        self.button.release()
        return self.until_ready(seconds)

    def dictate(self, name: str, timeout_s: float = 600.0) -> str:
        """Press, play a recording, release; return what was typed in the meantime and after."""
        before = len(self.witness.screen.text)
        self.press()
        self.play(name)
        self.release(timeout_s)
        self.quiet()
        return self.witness.screen.text[before:]

    def quiet(self, seconds: float = 3.0) -> None:
        """Wait until no key has come for a while."""
        presses = -1
        while presses != self.witness.screen.presses:
            presses = self.witness.screen.presses
            time.sleep(seconds)

    def screen_text(self) -> str:
        """What the computer's screen shows."""
        return self.witness.screen.text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.machine.kill()


class Witness:
    """What the world outside has seen of the board, each thing beside the length of the record of block writes.

    Whatever was seen when the record had `at` entries must survive a power cut after more than that.
    """

    def __init__(self, log: Path | None) -> None:
        self.screen = Screen()
        self.received: list[Received] = []
        self.kept: list[tuple[int, int]] = []
        """Record's length, number of the edit that a program in the guest said was on the disk."""
        self._log = log

    def line(self, line: str) -> None:
        """Take a line of guest/keys.py, or `kept NUMBER` of a program that writes; each has a thread of its own."""
        match line.split():
            case ["key", code, value]:
                before = self.screen.text
                self.screen.key(int(code), int(value))
                if self.screen.text != before:
                    self.received.append(Received(self._at(), self.screen.text))
            case ["kept", number]:
                self.kept.append((self._at(), int(number)))

    def _at(self) -> int:
        return blocklog.length(self._log) if self._log else 0


def _tar(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()
