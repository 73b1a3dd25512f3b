"""`dictate report` as it is installed, and the rows of the check-list on a Pi's folders."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from device.diagnostics import checklist
from device.diagnostics.checklist import Paths

ROOT = Path(__file__).parents[3]
DICTATE = Path(sys.executable).with_name("dictate")


@pytest.fixture
def pi(tmp_path: Path) -> Paths:
    """What a Pi 4 with the image and a Coral on USB 3 shows."""
    files = {
        "proc/self/mounts": "/dev/mmcblk0p2 / ext4 ro,relatime 0 0\n/dev/mmcblk0p3 /data ext4 rw 0 0\n",
        "proc/net/tcp": "  sl  local_address rem_address   st\n"
        "   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n"
        "   1: 0100007F:1234 0100007F:4321 01 00000000:00000000\n",
        "proc/net/tcp6": "  sl  local_address\n",
        "sys/class/block/mmcblk0p3/size": "58000000\n",
        "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "sys/bus/gpio/devices/gpiochip0/of_node/compatible": "brcm,bcm2711-gpio\0",
        "sys/bus/usb/devices/2-1/idVendor": "18d1\n",
        "sys/bus/usb/devices/2-1/idProduct": "9302\n",
        "sys/bus/usb/devices/2-1/busnum": "2\n",
        "sys/bus/usb/devices/2-1/devnum": "3\n",
        "sys/bus/usb/devices/2-1/speed": "5000\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51234\n",
        "data/x": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Paths(tmp_path)


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("2", r"[\d.]+ GB of a partition of 29\.7 GB"),
        ("3", "read-only"),
        ("4", "TCP ports 22"),
        ("5", r"Raspberry Pi 4 Model B Rev 1\.4"),
        ("6", "brcm,bcm2711-gpio"),
        ("9", "18d1:9302 at 2-1, firmware running, 5000 Mbit/s"),
        ("15", "51 °C now"),
        ("23", "by hand"),
    ],
)
def test_a_row_says_what_the_kernel_shows(pi: Paths, number: str, found: str) -> None:
    assert re.fullmatch(found, checklist.find(number, pi).found)


def test_a_machine_that_shows_nothing_is_no_fault(tmp_path: Path) -> None:
    found = {row.number: row.found for row in checklist.rows(Paths(tmp_path))}
    assert {found[number] for number in ("2", "3", "5", "6", "15")} == {checklist.UNSEEN}
    assert found["9"] == "no Coral on USB" and found["4"] == "nothing by TCP"


def test_the_rows_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "build-it.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| ([^|]+?) \|", page[page.index("## The check-list") :], re.M)
    assert dict(listed) == {number: what for number, (what, _) in checklist.ROWS.items()}


def report(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [DICTATE, "report", "--no-bench", "--out", folder / "report.md", *options], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.startswith(f"written: {folder}/report.md")) == (0, True), done.stderr
    assert [path.name for path in folder.glob("report.md*")] == ["report.md"]
    return (folder / "report.md").read_text(encoding="utf-8")


def test_the_report_is_read_by_people_and_by_programs(tmp_path: Path) -> None:
    text = report(tmp_path, f"--set=bundle.dir={tmp_path}/none")
    (data,) = re.findall(r"```json\n(.*?)\n```", text, re.S)
    parsed = json.loads(data)
    assert set(parsed) == {"about", "checklist", "checks"}
    assert {"Coral", "Microphone", "Power"} <= set(parsed["checks"])
    assert f"| 5 | model and revision | {parsed['checklist'][4]['found']} |" in text
    assert "left out: --no-bench" in text and "coral-dictation" in parsed["about"]["libraries"]


def test_nothing_private_is_in_it(tmp_path: Path) -> None:
    journal, words = tmp_path / "journal", tmp_path / "words.tsv"
    journal.mkdir()
    (journal / "journal.jsonl").write_text('{"text": "confidential-dictation"}\n')
    words.write_text("confidentialword\tconfidentialword\n\tbroken confidentialline\n")
    settings = [f"sinks.journal.dir={journal}", f"vocabulary.file={words}", "system.wifi_ssid=confidential-network"]
    settings += ["system.wifi_country=DE"]
    text = report(tmp_path, *(f"--set={setting}" for setting in settings))
    assert "confidential" not in text
    assert str(Path.home()) + "/" not in text


@pytest.mark.parametrize(
    ("speech", "why"), [(["no-speech"], "no-speech: no such file"), ([], "no bundle here (bundle.json is missing)")]
)
def test_a_benchmark_that_cannot_run_says_why(tmp_path: Path, speech: list[str], why: str) -> None:
    """The benchmark is that of the configuration: its bundle, too."""
    settings = [] if speech else [f"--set=bundle.dir={tmp_path}"]
    done = subprocess.run(
        [DICTATE, "report", *(tmp_path / name for name in speech), "--out", tmp_path / "report.md", *settings],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (said,) = re.findall(r"^not measured: (.*)$", (tmp_path / "report.md").read_text(encoding="utf-8"), re.M)
    assert f"{tmp_path}/{why}" in said if speech else why in said


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [DICTATE, "report", "--no-bench", "--out", tmp_path / "no" / "folder.md"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "name another place with --out" in done.stderr.splitlines()[-1]
