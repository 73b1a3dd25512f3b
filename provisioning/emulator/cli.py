"""The command line of provisioning/virtual-pi."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from models import terminal
from models.errors import UserError
from provisioning.common import process
from provisioning.emulator import card, preflight, sound
from provisioning.emulator.card import Card
from provisioning.emulator.links import LinkError
from provisioning.emulator.machine import Board, Drive
from provisioning.emulator.pi import VirtualPi, Wiring
from provisioning.emulator.report import Steps

SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav")
"""Of Debian's pocketsphinx-testdata."""
GROWTH = 512 << 20
"""How much larger than the image the card is."""

HELP = """press, release     the button
say [FILE.wav]     play a recording (16 kHz, mono) into the microphone; without FILE the one of --speech
dictate [FILE.wav] press, say, release, and show what is typed
leds               watch the LEDs for eight seconds and say what they tell
screen             what was typed so far
run COMMAND        run a command as root in the board
cut                end the emulator at once
off                switch the board off as `systemctl poweroff` does"""


@terminal.guarded()
def main(arguments: list[str], description: str) -> int:
    """Run it; returns the exit status: 0, 1 for an error that is named in one line, 130 for an interruption."""
    parser = _parser(description)
    options = parser.parse_args(arguments)
    if options.print_config:
        print(Wiring().config(), end="")
        return 0
    if options.image is None:
        parser.error("name an image")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs = options.logs or Path(tempfile.mkdtemp(prefix="virtual-pi-logs-"))
    logs.mkdir(parents=True, exist_ok=True)
    try:
        _run(options, logs)
    except (UserError, ValueError, OSError) as error:
        print(f"virtual-pi: {error}\nvirtual-pi: the serial console's log: {logs / 'serial.log'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("virtual-pi: interrupted; the board is off", file=sys.stderr)
        return 130
    finally:
        for file in logs.glob("card.*"):
            file.unlink()
    return 0


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtual-pi",
        description=description,
        epilog=f"commands of --interactive:\n\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("image", type=Path, nargs="?", metavar="IMAGE", help="*.img or *.img.zst; built with --print-config")
    add("--print-config", action="store_true", help="print the configuration that fits the virtual board, and end")
    add("--speech", type=Path, default=SPEECH, metavar="FILE.wav", help="what is said (default: a LibriVox clip)")
    add("--interactive", action="store_true", help="boot and take commands instead; they are listed below")
    add("--cpu", default=Board().cpu, help="the processor that is emulated (default: %(default)s, the Pi 4's)")
    add("--logs", type=Path, metavar="DIR", help="where the consoles' logs go (default: a new folder in /tmp)")
    return parser


def _run(options: argparse.Namespace, logs: Path) -> None:
    if lacking := preflight.install():
        raise UserError(lacking)
    steps = Steps(lambda line: print(line, flush=True))
    with steps.step("card put in"):
        image = Card.of(_raw(options.image, logs))
        file = card.overlay(image.image, logs / "card.qcow2", image.image.stat().st_size + GROWTH)
    files = {"speech.wav": sound.padded(options.speech)} if options.speech.exists() else {}
    with VirtualPi.boot(image, Drive(file), logs, Board(cpu=options.cpu), files=files) as pi:
        with steps.step("power to ready LED"):
            pi.until_ready()
        with steps.step("root shell"):
            pi.open_shell()
        if options.interactive:
            _commands(pi, sys.stdin)
            return
        if not files:
            raise UserError(f"{options.speech} is missing; install pocketsphinx-testdata or name a recording: --speech")
        with steps.step("press, speak, release"):
            steps.remark(f"typed {pi.dictate('speech.wav').strip()!r}")


def _raw(image: Path, folder: Path) -> Path:
    if image.suffix != ".zst":
        return image
    if shutil.which("zstd") is None:
        raise UserError("zstd is missing; install the package zstd, or give an image that is not compressed")
    raw = folder / "card.img"
    process.run("zstd", "-q", "-d", "-f", "--sparse", image, "-o", raw)
    return raw


def _commands(pi: VirtualPi, lines: Iterable[str]) -> None:
    """Obey lines until there are no more, or the board is off."""
    print(HELP, end="\n\n", flush=True)
    print("> ", end="", flush=True)
    for line in lines:
        name, _, argument = line.strip().partition(" ")
        try:
            if name in ("cut", "off"):
                if name == "off":
                    pi.shell.console.send("systemctl poweroff\n")
                    pi.machine.wait_off(180)
                return
            if name:
                _obey(pi, name, argument)
        except (LinkError, ValueError, OSError) as error:
            print(error)
        print("> ", end="", flush=True)


def _obey(pi: VirtualPi, name: str, argument: str) -> None:
    def recording() -> str:
        if not argument:
            return "speech.wav"
        pi.shell.upload(sound.padded(Path(argument)), "/run/virtual-pi/said.wav")
        return "said.wav"

    deeds: dict[str, Callable[[], object]] = {
        "press": lambda: f"listening after {pi.press():.2f} s",
        "release": lambda: f"ready again after {pi.release():.1f} s",
        "say": lambda: pi.play(recording()),
        "dictate": lambda: pi.dictate(recording()),
        "leds": lambda: "ready {}, listening {}, fault {}".format(*pi.leds_say()),
        "screen": pi.screen_text,
        "run": lambda: pi.shell.run(argument, 120, check=False),
    }
    deed = deeds.get(name)
    said = deed() if deed else f"no such command; there are:\n{HELP}"
    if said is not None:
        print(said)
