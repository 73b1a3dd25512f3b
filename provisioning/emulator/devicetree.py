"""The virtual board's device tree: QEMU's own, with what makes gpiozero take the board for a Raspberry Pi 4.

make(Path("virtual-pi.dtb"), Board())
"""

from __future__ import annotations

from pathlib import Path

from provisioning.common import process
from provisioning.emulator.machine import Board

REVISION = 0xC03111
"""Raspberry Pi 4 Model B 1.1, 4 GB, by Raspberry Pi's table of revision codes."""


def make(destination: Path, board: Board) -> None:
    """Have QEMU write the tree of `board`, then edit it with fdtput of Debian's device-tree-compiler."""
    options = [*board.cpu_options(), "-display", "none", "-nodefaults"]
    process.run(board.qemu, "-M", f"virt,dumpdtb={destination}", *options)
    tree = str(destination)
    root = process.run("fdtget", "-l", tree, "/").split()
    pl061 = next(node for node in root if node.startswith("pl061@"))
    for command in (
        ["-t", "s", tree, "/", "model", "Raspberry Pi 4 Model B Rev 1.1"],
        ["-c", tree, "/system"],
        ["-t", "x", tree, "/system", "linux,revision", f"{REVISION:x}"],
        ["-r", tree, "/gpio-keys"],  # frees line 3, QEMU's power button
        ["-t", "s", tree, f"/{pl061}", "gpio-line-names", *(f"GPIO{line}" for line in range(8))],
    ):
        process.run("fdtput", *command)
