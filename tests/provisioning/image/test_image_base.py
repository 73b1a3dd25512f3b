"""`--base` on an image laid out as Raspberry Pi OS Lite (Bookworm, written by the Imager), made here.

Partitions, fstab, cmdline.txt with firstrun, and config.txt are as there; the system in it is a skeleton for arm64 that
has the packages that are needed, so that none of its programs is run.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from needs import Need, unless

from provisioning.common import process
from provisioning.image import base, disk
from provisioning.image.layout import MIB, SECTOR

ROOT = Path(__file__).parents[3]

OWN_MOUNTS = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
"""Not as a user, nor in a chroot whose / is no mount point."""

pytestmark = unless(OWN_MOUNTS, Need.KERNEL, "mounts of one's own, and the right to make files of many owners")
DISK_ID = "4e639091"
FIRMWARE, SYSTEM = (8192 * SECTOR, 64 * MIB), (8192 * SECTOR + 64 * MIB, 96 * MIB)
CMDLINE = (
    f"console=serial0,115200 console=tty1 root=PARTUUID={DISK_ID}-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
    "init=/usr/lib/raspberrypi-sys-mods/firstboot systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot "
    "systemd.unit=kernel-command-line.target\n"
)
FIRSTRUN = "#!/bin/bash\nset +e\nraspi-config nonint do_hostname desk\nrm -f /boot/firstrun.sh\nexit 0\n"
CONFIG = """# For more options and information see
# http://rptl.io/configtxt
dtparam=audio=on
camera_auto_detect=1
display_auto_detect=1
auto_initramfs=1
dtoverlay=vc4-kms-v3d
arm_64bit=1
arm_boost=1

[cm4]
otg_mode=1

[cm5]
dtoverlay=dwc2,dr_mode=host

[all]
"""
FSTAB = f"""proc            /proc           proc    defaults          0       0
PARTUUID={DISK_ID}-01  /boot/firmware  vfat    defaults          0       2
PARTUUID={DISK_ID}-02  /               ext4    defaults,noatime  0       1
"""
BUILD = """
import sys
from pathlib import Path
from provisioning.image import base, build
from provisioning.common import release
from provisioning.common.progress import Progress

def small(destination, target, bundle, *, second_pass=None, without_coral=False, say=print):
    (destination / "site").mkdir(parents=True)
    (destination / "site/for.txt").write_text(target.python)
    return release.describe(destination, target, without_coral)

release.build_release = small
image, out, config, bundle = map(Path, sys.argv[1:])
base.build_on(image, build.Request(out, bundle, config, without_coral=True), Progress())
"""
"""The command without wheels, which need a network."""


def run(*command: str | Path, given: str | None = None) -> str:
    environment = {**os.environ, "PATH": process.PATH, "MTOOLS_SKIP_CHECK": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, input=given).stdout


def skeleton(root: Path) -> Path:
    """What of Raspberry Pi OS matters to the layer."""
    for folder in ("boot/firmware", "usr/bin", "usr/lib/python3.11", "usr/lib/systemd/system", "etc", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/dpkg").write_bytes(b"\x7fELF\x02".ljust(18, b"\0") + struct.pack("<H", base.ARM64))
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\naudio:x:29:\ngpio:x:993:\n")
    packages = "".join(f"Package: {name}\nStatus: install ok installed\n\n" for name in base.NEEDED)
    (root / "var/lib/dpkg/status").write_text(packages)
    return root


@pytest.fixture
def raspios(tmp_path: Path) -> Path:
    """The image file."""
    image, firmware = tmp_path / "raspios-lite.img", tmp_path / "bootfs"
    (firmware / "overlays").mkdir(parents=True)
    files = {"cmdline.txt": CMDLINE, "firstrun.sh": FIRSTRUN, "config.txt": CONFIG, "overlays/dwc2.dtbo": "dwc2"}
    for name, text in files.items():
        (firmware / name).write_text(text)
    with image.open("wb") as file:
        file.truncate(sum(SYSTEM))
    places = zip((FIRMWARE, SYSTEM), ("c", "83"), strict=True)
    lines = "".join(f"start={at // SECTOR}, size={size // SECTOR}, type={kind}\n" for (at, size), kind in places)
    run("sfdisk", "--quiet", image, given=f"label: dos\nlabel-id: 0x{DISK_ID}\n{lines}")
    offset, kib = f"--offset={FIRMWARE[0] // SECTOR}", str(FIRMWARE[1] // 1024)
    run("mkfs.vfat", "-F", "32", "-s", "1", "-n", "bootfs", offset, image, kib)
    disk.fill_fat(image, FIRMWARE[0], firmware, 1_700_000_000)
    tree = skeleton(tmp_path / "rootfs")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "rootfs", "-d", tree, "-E", f"offset={SYSTEM[0]}", image,
        f"{SYSTEM[1] // 1024}k")  # fmt: skip
    shutil.rmtree(tree)
    return image


@dataclass(frozen=True)
class Built:
    """An image, and the folder with its root partition as a file."""

    image: Path
    root: Path

    @property
    def table(self) -> dict[str, object]:
        return dict(json.loads(run("sfdisk", "--json", self.image))["partitiontable"])

    def boot(self, name: str) -> str:
        return run("mtype", "-i", f"{self.image}@@{FIRMWARE[0]}", f"::/{name}")

    def system(self, path: str) -> str:
        return run("debugfs", "-R", f"cat {path}", self.root)

    def kind(self, path: str) -> str:
        return run("debugfs", "-R", f"stat {path}", self.root)


def build(image: Path, out: Path) -> Built:
    """Run the command; the image it makes."""
    config, bundle = out.with_name("dictation.toml"), out.with_name("bundle")
    config.write_text("[panel]\nbutton_pin = 5\n")
    bundle.mkdir(exist_ok=True)
    (bundle / "bundle.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, image, out, config, bundle], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    root = out.with_suffix(".root")
    run("dd", "status=none", "conv=sparse", "bs=4M", f"if={out}", f"of={root}", "iflag=skip_bytes", f"skip={SYSTEM[0]}")
    return Built(out, root)


def test_the_layer_lies_on_it_and_its_own_first_start_stays(raspios: Path, tmp_path: Path) -> None:
    before = raspios.read_bytes()
    made = build(raspios, tmp_path / "mine.img")
    assert raspios.read_bytes() == before, "the base is copied"
    run("e2fsck", "-f", "-n", made.root)

    assert made.table["id"] == f"0x{DISK_ID}", "cmdline.txt and fstab name the partitions by it"
    first, second = made.table["partitions"]  # type: ignore[misc]
    assert (first["start"], second["start"]) == (FIRMWARE[0] // SECTOR, SYSTEM[0] // SECTOR)  # type: ignore[index]
    assert second["size"] * SECTOR == SYSTEM[1] + base.EXTRA_BYTES  # type: ignore[index]

    assert made.boot("cmdline.txt") == CMDLINE and made.boot("firstrun.sh") == FIRSTRUN
    assert made.boot("overlays/dwc2.dtbo") == "dwc2"
    assert made.boot("config.txt") == CONFIG.rstrip("\n") + "\n" + base.FIRMWARE_LINES
    assert made.boot("dictation.toml") == "[panel]\nbutton_pin = 5\n"

    assert made.system("/usr/lib/dictate/factory/site/for.txt") == "cp311"
    assert made.system("/etc/fstab") == FSTAB
    assert "Type: symlink" in made.kind("/etc/systemd/system/multi-user.target.wants/dictate.service")
    assert "Type: symlink" not in made.kind("/usr/lib/systemd/system/dictate-grow.service"), "only on our own image"
    assert "dictate:" in made.system("/etc/passwd")


def test_the_result_can_be_a_base_again(raspios: Path, tmp_path: Path) -> None:
    once = build(raspios, tmp_path / "once.img")
    twice = build(once.image, tmp_path / "twice.img")
    assert twice.boot("config.txt") == once.boot("config.txt")
    assert twice.boot("cmdline.txt") == CMDLINE
    run("e2fsck", "-f", "-n", twice.root)
