"""The lines in the Raspberry Pi's config.txt that the appliance needs, between two marks.

>>> before = "arm_64bit=1\\n"
>>> print(with_block(before), end="")
arm_64bit=1
# >>> coral-dictation: removed by provisioning/install --uninstall
[all]
dtoverlay=dwc2,dr_mode=peripheral
# <<< coral-dictation
>>> without_block(with_block(before)) == before
True
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

CONFIG = (Path("boot/firmware/config.txt"), Path("boot/config.txt"))
"""Where it is, by preference (raspberrypi.com/documentation/computers/config_txt.html)."""
BEGIN = "# >>> coral-dictation: removed by provisioning/install --uninstall\n"
END = "# <<< coral-dictation\n"
KEYBOARD = ("[all]", "dtoverlay=dwc2,dr_mode=peripheral")
"""For every model: the USB-C port is a device, for the keyboard that the Pi is to the computer."""
METER = ("dtparam=i2c_arm=on", "dtoverlay=ina219")
"""The layer's own overlay for an INA219, provisioning/common/ina219.dts."""
DEBIANS = Path("etc/default/raspi-firmware")
"""Where this is, config.txt is made by Debian, whose device trees need none of our lines."""


def find(root: Path) -> Path | None:
    """The config.txt to change, relative to `root`; None where there is none, or Debian makes it."""
    if (root / DEBIANS).exists():
        return None
    return next((path for path in CONFIG if (root / path).is_file()), None)


def with_block(text: str, lines: Sequence[str] = KEYBOARD) -> str:
    """config.txt with our lines at its end, in place of those that an earlier installation put there."""
    rest = without_block(text)
    joint = "" if not rest or rest.endswith("\n") else "\n"
    return "".join([rest, joint, BEGIN, *(f"{line}\n" for line in lines), END])


def without_block(text: str) -> str:
    """config.txt without our lines."""
    return re.sub(rf"{re.escape(BEGIN)}.*?(?:{re.escape(END)}|\Z)", "", text, flags=re.S)
