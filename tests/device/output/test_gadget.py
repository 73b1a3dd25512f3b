"""The keyboard gadget's set-up, on folders in place of configfs; the kernel itself is asked on the virtual Pi."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "provisioning/rootfs-overlay/all/usr/lib/dictate/keyboard-gadget"
UNIT = SCRIPT.parents[1] / "systemd" / "system" / "dictate-keyboard.service"


def gadget(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "--root", root, *argv], capture_output=True, text=True, timeout=30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sys/kernel/config/usb_gadget").mkdir(parents=True)
    (tmp_path / "sys/class/udc/fe980000.usb").mkdir(parents=True)
    (tmp_path / "sys/class/udc/gg.usb").mkdir()
    base = tmp_path / "sys/firmware/devicetree/base"
    base.mkdir(parents=True)
    (base / "serial-number").write_bytes(b"10000000abcdef01\0")
    return tmp_path


def snapshot(root: Path) -> dict[str, tuple[int, bytes | str]]:
    tree: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted((root / "sys/kernel/config").rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        tree[str(path.relative_to(root))] = (path.lstat().st_mtime_ns, content)
    return tree


def test_start_is_idempotent_and_stop_leaves_nothing(root: Path) -> None:
    assert gadget(root, "status").returncode == 1
    assert gadget(root, "start").returncode == 0
    made = root / "sys/kernel/config/usb_gadget/dictate"
    assert (made / "UDC").read_text() == "fe980000.usb\n"
    assert (made / "strings/0x409/serialnumber").read_text() == "10000000abcdef01\n"
    assert (made / "functions/hid.usb0/report_length").read_text() == "8\n"
    assert (made / "configs/c.1/hid.usb0").resolve() == (made / "functions/hid.usb0").resolve()
    before = snapshot(root)
    assert gadget(root, "start").returncode == 0
    assert snapshot(root) == before
    status = gadget(root, "status")
    assert (status.returncode, status.stdout) == (0, "keyboard on fe980000.usb\n")
    for _ in range(2):
        assert gadget(root, "stop").returncode == 0
        assert list(snapshot(root)) == ["sys/kernel/config/usb_gadget"]


@pytest.mark.parametrize(
    ("file", "content"),
    [("idProduct", "0x0105\n"), ("functions/hid.usb0/report_desc", "x"), ("UDC", "\n"), ("UDC", "gg.usb\n")],
)
def test_start_puts_right_what_differs(root: Path, file: str, content: str) -> None:
    gadget(root, "--udc", "fe980000.usb", "start")
    made = root / "sys/kernel/config/usb_gadget/dictate"
    wanted = (made / file).read_bytes()
    (made / file).write_text(content)
    assert gadget(root, "--udc", "fe980000.usb", "status").returncode == 1
    assert gadget(root, "--udc", "fe980000.usb", "start").returncode == 0
    assert (made / file).read_bytes() == wanted


def test_a_network_card_is_beside_the_keyboard_only_where_the_card_asks_for_it(root: Path) -> None:
    made = root / "sys/kernel/config/usb_gadget/dictate"
    gadget(root, "start")
    assert not (made / "functions/ncm.usb0").exists() and not (made / "bDeviceClass").exists()
    plain = (made / "bcdDevice").read_text()
    asked = root / "run/dictate-setup/usb-network"
    asked.parent.mkdir(parents=True)
    asked.touch()
    assert gadget(root, "status").returncode == 1
    assert gadget(root, "start").returncode == 0
    assert (made / "configs/c.1/ncm.usb0").resolve() == (made / "functions/ncm.usb0").resolve()
    assert [(made / f"bDevice{name}").read_text() for name in ("Class", "SubClass", "Protocol")] == [
        "0xef\n",
        "0x02\n",
        "0x01\n",
    ], "interface association descriptors"
    addresses = [(made / "functions/ncm.usb0" / name).read_text().strip() for name in ("dev_addr", "host_addr")]
    assert all(re.fullmatch(r"0[26](:[0-9a-f]{2}){5}", address) for address in addresses)
    assert len(set(addresses)) == 2 and (made / "bcdDevice").read_text() != plain
    before = snapshot(root)
    assert gadget(root, "start").returncode == 0 and snapshot(root) == before
    asked.unlink()
    assert gadget(root, "start").returncode == 0
    assert not (made / "functions/ncm.usb0").exists() and (made / "bcdDevice").read_text() == plain
    asked.touch()
    gadget(root, "start")
    assert gadget(root, "stop").returncode == 0 and list(snapshot(root)) == ["sys/kernel/config/usb_gadget"]


def test_failures_say_what_to_do(root: Path) -> None:
    unnamed = gadget(root, "--udc", "nope", "start")
    assert unnamed.returncode == 1
    assert "no USB device controller named nope" in unnamed.stderr
    shutil.rmtree(root / "sys/class/udc")
    none = gadget(root, "start")
    assert "dr_mode=peripheral" in none.stderr
    shutil.rmtree(root / "sys/kernel/config")
    assert "load libcomposite and mount configfs" in gadget(root, "start").stderr
    assert gadget(root, "dance").returncode == 2
    assert snapshot(root) == {}


def items(descriptor: bytes) -> Iterator[tuple[int, int]]:
    """Short items of a HID report descriptor (specification 1.11, section 6.2.2.2): prefix without size, value."""
    at = 0
    while at < len(descriptor):
        size = (0, 1, 2, 4)[descriptor[at] & 3]
        yield descriptor[at] & 0xFC, int.from_bytes(descriptor[at + 1 : at + 1 + size], "little")
        at += 1 + size


def test_the_report_descriptor_is_a_boot_keyboards(root: Path) -> None:
    gadget(root, "start")
    made = root / "sys/kernel/config/usb_gadget/dictate/functions/hid.usb0"
    state: dict[int, int] = {}
    usage: list[int] = []
    fields: list[tuple[str, int, int, int, int, list[int]]] = []
    depth = 0
    for prefix, value in items((made / "report_desc").read_bytes()):
        match prefix:
            case 0xA0:
                assert (state[0x04], usage, value) == (1, [6], 1), "generic desktop, keyboard, application"
                depth, usage = depth + 1, []
            case 0xC0:
                depth -= 1
            case 0x80 | 0x90:
                kind = "in" if prefix == 0x80 else "out"
                fields.append((kind, state[0x74], state[0x94], value, state[0x04], usage))
                usage = []
            case 0x08 | 0x18 | 0x28:
                usage.append(value)
            case _:
                state[prefix] = value
    assert depth == 0
    assert fields == [
        ("in", 1, 8, 2, 7, [0xE0, 0xE7]),
        ("in", 8, 1, 1, 7, []),
        ("out", 1, 5, 2, 8, [1, 5]),
        ("out", 3, 1, 1, 8, []),
        ("in", 8, 6, 0, 7, [0, 0x65]),
    ]
    assert sum(size * count for kind, size, count, *_ in fields if kind == "in") == 64
    from device.output import layouts

    used = {stroke.usage for name in layouts.LAYOUTS.values() for s in layouts.strokes(name).values() for stroke in s}
    assert max(used) <= 0x65


def test_the_unit_is_accepted_by_systemd(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/lib/dictate/keyboard-gadget", str(SCRIPT)))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60
    )
    warnings = [line for line in checked.stderr.splitlines() if UNIT.name in line]
    assert warnings == []
