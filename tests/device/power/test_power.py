"""Meters, log, monitor and report, on directories laid out as the kernel does."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import cli
from device.config import schema
from device.drawing.power import svg
from device.power.lasting_meter import LastingMeter
from device.power.log import PowerLog, Sample, log_files, samples_in
from device.power.monitor import Battery, BatteryGuard, Monitor, Usage, charge, judge
from device.power.report import summarise
from device.power.sensors import (
    Flow,
    Gauges,
    Hwmon,
    Iio,
    Pmic,
    PowerError,
    PowerSupply,
    Reading,
    find_meter,
    meters,
    read_gauges,
)

PMIC = """   3V7_WL_SW_A current(0)=0.10000000A
   3V3_SYS_A current(1)=0.20000000A
   VDD_CORE_A current(7)=1.00000000A
   3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
   VDD_CORE_V volt(15)=0.80000000V
   EXT5V_V volt(24)=5.13500000V
   BATT_V volt(25)=0.00600000V
"""


def layout(root: Path, files: dict[str, str]) -> Path:
    """A tree of sysfs files, each ending with a newline as the kernel's do."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
    return root


INA219 = {
    "class/hwmon/hwmon2/name": "ina219",
    "class/hwmon/hwmon2/in0_input": "5",
    "class/hwmon/hwmon2/in1_input": "3928",
    "class/hwmon/hwmon2/curr1_input": "612",
    "class/hwmon/hwmon2/power1_input": "2400000",
}
IIO = {
    "bus/iio/devices/iio:device0/name": "ina226",
    "bus/iio/devices/iio:device0/in_voltage1_raw": "3200",
    "bus/iio/devices/iio:device0/in_voltage1_scale": "1.250000000",
    "bus/iio/devices/iio:device0/in_current3_raw": "500",
    "bus/iio/devices/iio:device0/in_current3_scale": "1.000000000",
    "bus/iio/devices/iio:device0/in_power2_raw": "80",
    "bus/iio/devices/iio:device0/in_power2_scale": "25.000000000",
}
BATTERY = {
    "class/power_supply/AC/type": "Mains",
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/voltage_now": "3700000",
    "class/power_supply/BAT0/current_now": "-500000",
    "class/power_supply/BAT0/capacity": "42",
}
OTHERS = {
    "class/hwmon/hwmon0/name": "cpu_thermal",
    "class/hwmon/hwmon1/name": "rpi_volt",
    "class/hwmon/hwmon1/in0_lcrit_alarm": "1",
}


def test_hwmon_units(tmp_path: Path) -> None:
    meter = find_meter("auto", layout(tmp_path, INA219 | OTHERS))
    assert isinstance(meter, Hwmon) and "ina219" in meter.name
    assert meter.read() == Reading(pytest.approx(3.928), pytest.approx(0.612), pytest.approx(2.4), flow=Flow.OUT)


def test_iio_units(tmp_path: Path) -> None:
    meter = find_meter("auto", layout(tmp_path, IIO))
    assert isinstance(meter, Iio)
    assert meter.read() == Reading(pytest.approx(4.0), pytest.approx(0.5), pytest.approx(2.0), flow=Flow.OUT)


def test_battery_units(tmp_path: Path) -> None:
    meter = find_meter("auto", layout(tmp_path, BATTERY))
    assert isinstance(meter, PowerSupply)
    assert meter.read() == Reading(pytest.approx(3.7), 0.5, pytest.approx(1.85), 42.0, flow=Flow.OUT)
    layout(tmp_path, {"class/power_supply/BAT0/status": "Charging"})
    assert meter.read() == Reading(pytest.approx(3.7), -0.5, None, 42.0, flow=Flow.IN)


def test_a_battery_that_only_knows_its_charge(tmp_path: Path) -> None:
    files = {"type": "Battery", "status": "Discharging", "capacity": "42", "scope": "Device"}
    folder = layout(tmp_path / "hid-u1-battery", files)
    assert find_meter(str(folder)).read() == Reading(percent=42.0, flow=Flow.OUT, own=False)


def test_pmic_adds_up_its_rails() -> None:
    reading = Pmic(lambda command: PMIC).read()
    assert reading == Reading(volts=5.135, watts=pytest.approx(0.37 + 0.66 + 0.8), own=False)


def test_pmic_failures_are_named() -> None:
    def fail(command: object) -> str:
        raise subprocess.CalledProcessError(1, "vcgencmd")

    with pytest.raises(PowerError, match="group video"):
        Pmic(fail).read()
    with pytest.raises(PowerError, match="no rails"):
        Pmic(lambda command: 'error=1 error_msg="Command not registered"').read()


def test_all_meters_are_found_best_first(tmp_path: Path) -> None:
    model = {"firmware/devicetree/base/model": "Raspberry Pi 5 Model B Rev 1.0\0"}
    found = meters(layout(tmp_path, INA219 | IIO | BATTERY | OTHERS | model))
    assert [type(meter) for meter in found] == [Hwmon, Iio, PowerSupply, Pmic]


def test_a_meter_by_folder(tmp_path: Path) -> None:
    layout(tmp_path, INA219 | IIO | BATTERY)
    for files, kind in ((INA219, Hwmon), (IIO, Iio)):
        assert isinstance(find_meter(str((tmp_path / next(iter(files))).parent)), kind)
    assert isinstance(find_meter(str(tmp_path / "class/power_supply/BAT0")), PowerSupply)
    (tmp_path / "1-0040/hwmon").mkdir(parents=True)
    (tmp_path / "class/hwmon/hwmon2").rename(tmp_path / "1-0040/hwmon/hwmon7")
    assert find_meter(str(tmp_path / "1-0040")) == Hwmon(tmp_path / "1-0040/hwmon/hwmon7")
    with pytest.raises(PowerError, match=r"power\.meter"):
        find_meter(str(tmp_path))


def test_no_meter(tmp_path: Path) -> None:
    assert find_meter("auto", tmp_path) is None
    assert find_meter("none", layout(tmp_path, INA219)) is None


def test_a_meter_that_vanishes_is_named(tmp_path: Path) -> None:
    meter = find_meter("auto", layout(tmp_path, INA219))
    assert meter is not None
    for file in (tmp_path / "class/hwmon/hwmon2").iterdir():
        file.unlink()
    with pytest.raises(PowerError, match="wiring"):
        meter.read()


def test_gauges(tmp_path: Path) -> None:
    sys = layout(
        tmp_path / "sys",
        OTHERS
        | {
            "class/thermal/thermal_zone0/temp": "48312",
            "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000",
        },
    )
    proc = layout(tmp_path / "proc", {"loadavg": "0.52 0.58 0.59 1/467 12345"})
    assert read_gauges(sys, proc) == Gauges(pytest.approx(48.312), 1_500.0, 0.52, throttled=1)
    layout(sys, {"devices/platform/soc/soc:firmware/get_throttled": "50005"})
    assert read_gauges(sys, proc).throttled == 0x50005
    assert read_gauges(tmp_path / "none", tmp_path / "none") == Gauges(None, None, None, None)


numbers = st.none() | st.floats(0, 1e4).map(lambda x: float(f"{x:.6g}"))
rows = st.builds(
    Sample,
    time=st.floats(1e9, 2e9).map(lambda x: round(x, 3)),
    seconds=st.floats(0, 100).map(lambda x: round(x, 3)),
    state=st.sampled_from(["ready", "listening", "finalizing"]),
    watts=numbers,
    percent=numbers,
    throttled=st.none() | st.integers(0, 2**20),
    speech_s=st.floats(0, 60).map(lambda x: round(x, 3)),
    words=st.integers(0, 100),
)


@given(samples=st.lists(rows, max_size=30), flush_s=st.floats(0, 300))
def test_what_is_logged_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], flush_s: float
) -> None:
    log = PowerLog(tmp_path_factory.mktemp("power"), max_bytes=10**6, keep=3, flush_s=flush_s)
    for sample in samples:
        log.add(sample)
    log.flush()
    assert list(samples_in(log.folder)) == samples


def test_states_of_older_logs_have_their_names_of_today(tmp_path: Path) -> None:
    log = PowerLog(tmp_path / "power", max_bytes=1 << 20, keep=2, flush_s=0)
    for second, state in enumerate(["listening", "thinking", "ready"]):  # old name
        log.add(Sample(float(second), 1.0, state, watts=2.0))
    assert [sample.state for sample in samples_in(log.folder)] == ["listening", "finalizing", "ready"]


def test_the_log_is_written_seldom(tmp_path: Path) -> None:
    log = PowerLog(tmp_path / "power", max_bytes=10**6, keep=3, flush_s=60)
    for second in range(59):
        log.add(Sample(float(second), 1.0, "ready"))
    assert not (tmp_path / "power").exists()
    log.add(Sample(59.0, 1.0, "ready"))
    assert len(list(samples_in(tmp_path / "power"))) == 60


def test_the_log_rotates(tmp_path: Path) -> None:
    log = PowerLog(tmp_path, max_bytes=1_000, keep=3, flush_s=0)
    for second in range(500):
        log.add(Sample(1e9 + second, 1.0, "ready", watts=2.5))
    assert len(log_files(tmp_path)) == 3
    assert all(file.stat().st_size < 1_200 for file in log_files(tmp_path))
    times = [sample.time for sample in samples_in(tmp_path)]
    assert times == [1e9 + second for second in range(500 - len(times), 500)]


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    log = PowerLog(tmp_path, max_bytes=10**6, keep=3, flush_s=0)
    log.add(Sample(1.0, 1.0, "ready"))
    with log_files(tmp_path)[0].open("ab") as stream:
        stream.write(b"2.0,1.0,rea\0\0")
    PowerLog(tmp_path, max_bytes=10**6, keep=3, flush_s=0).add(Sample(3.0, 1.0, "ready"))
    assert [sample.time for sample in samples_in(tmp_path)] == [1.0, 3.0]


def test_a_full_disk_loses_and_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "power"
    folder.write_text("in the way")
    log = PowerLog(folder, max_bytes=10**6, keep=3, flush_s=0)
    for moment in (1.0, 2.0):
        with pytest.raises(OSError):
            log.add(Sample(moment, 1.0, "ready"))
    folder.unlink()
    log.add(Sample(3.0, 1.0, "ready"))
    assert [sample.time for sample in samples_in(folder)] == [1.0, 2.0, 3.0]


def states(readings: Iterable[Reading], seconds: float = 1.0) -> list[Battery]:
    """What the guard makes of readings that are `seconds` apart."""
    guard = BatteryGuard()
    return [guard.take(judge(reading, schema.PowerSettings()), n * seconds) for n, reading in enumerate(readings)]


def cell(volts: float, flow: Flow = Flow.OUT) -> Reading:
    return Reading(volts=volts, flow=flow)


def test_a_dip_is_no_low_battery() -> None:
    assert set(states(map(cell, [3.8, 3.31, 3.8, 3.31, 3.31, 3.8] * 20))) == {Battery.FINE}


def test_readings_at_one_moment_confirm_nothing() -> None:
    assert set(states([cell(3.31)] * 50, seconds=0.03)) == {Battery.FINE}


def test_a_battery_that_empties_is_told() -> None:
    told = states(cell(3.8 - n / 1000) for n in range(500))
    assert list(dict.fromkeys(told)) == [Battery.FINE, Battery.LOW, Battery.EMPTY]
    assert told == sorted(told, key=[Battery.FINE, Battery.LOW, Battery.EMPTY].index)
    back = states([cell(3.31)] * 3 + [cell(3.31, Flow.IN)] * 3)
    assert (back[2], back[-1]) == (Battery.EMPTY, Battery.FINE)


SUPPLY_TREES: dict[str, tuple[dict[str, str], Battery]] = {
    "INA219, emptying": ({"volts": "3310", "amps": "850"}, Battery.EMPTY),
    "INA219, charging": ({"volts": "3250", "amps": "-850"}, Battery.FINE),
    "INA219, no current": ({"volts": "3310", "amps": "0"}, Battery.LOW),
    "INA219, wire off": ({"volts": "0", "amps": "850"}, Battery.FINE),
    "INA219, below what a cell can have": ({"volts": "1200", "amps": "850"}, Battery.FINE),
    "INA219, negative": ({"volts": "-3310", "amps": "850"}, Battery.FINE),
    "INA219, behind a regulator": ({"volts": "5080", "amps": "850"}, Battery.FINE),
    "INA219, garbled current": ({"volts": "3310", "amps": "?"}, Battery.LOW),
    "INA219, mains online": ({"volts": "3310", "amps": "850", "AC": "1"}, Battery.FINE),
    "INA219, mains offline": ({"volts": "3310", "amps": "850", "AC": "0"}, Battery.EMPTY),
    "gauge, emptying": ({"capacity": "3", "status": "Discharging", "voltage": "3350000"}, Battery.EMPTY),
    "gauge, no charger known": ({"capacity": "3", "status": "Unknown", "voltage": "3350000"}, Battery.LOW),
    "gauge, charging": ({"capacity": "3", "status": "Charging", "voltage": "3350000"}, Battery.FINE),
    "gauge, full": ({"capacity": "3", "status": "Full", "voltage": "3350000"}, Battery.FINE),
    "gauge, held": ({"capacity": "3", "status": "Not charging", "voltage": "3350000"}, Battery.FINE),
    "gauge, new word": ({"capacity": "3", "status": "Pondering", "voltage": "3350000"}, Battery.LOW),
    "gauge, no voltage": ({"capacity": "3", "status": "Discharging"}, Battery.LOW),
    "gauge, 0 V": ({"capacity": "3", "status": "Discharging", "voltage": "0"}, Battery.FINE),
    "gauge, says 3 % at 4.1 V": ({"capacity": "3", "status": "Discharging", "voltage": "4100000"}, Battery.FINE),
    "gauge, 0 % before its first measurement": ({"capacity": "0", "status": "Discharging"}, Battery.FINE),
    "gauge, 0 % at 3.8 V": ({"capacity": "0", "status": "Discharging", "voltage": "3800000"}, Battery.FINE),
    "gauge, out of range": ({"capacity": "255", "status": "Discharging", "voltage": "3900000"}, Battery.FINE),
    "gauge, negative": ({"capacity": "-1", "status": "Discharging", "voltage": "3900000"}, Battery.FINE),
    "gauge of a pack of two cells": ({"capacity": "3", "status": "Discharging", "voltage": "6600000"}, Battery.EMPTY),
    "gauge, mains online": ({"capacity": "3", "status": "Discharging", "voltage": "3350000", "AC": "1"}, Battery.FINE),
    "a mouse": (
        {"capacity": "3", "status": "Discharging", "voltage": "3350000", "scope": "Device"},
        Battery.FINE,
    ),
    "no battery in its holder": (
        {"capacity": "3", "status": "Discharging", "voltage": "3350000", "present": "0"},
        Battery.FINE,
    ),
}
PLACES = {
    "volts": "class/hwmon/hwmon2/in1_input",
    "amps": "class/hwmon/hwmon2/curr1_input",
    "capacity": "class/power_supply/battery/capacity",
    "status": "class/power_supply/battery/status",
    "voltage": "class/power_supply/battery/voltage_now",
    "scope": "class/power_supply/battery/scope",
    "present": "class/power_supply/battery/present",
    "AC": "class/power_supply/AC/online",
}


def tree(root: Path, said: dict[str, str]) -> Path:
    """A /sys whose meters say `said`."""
    files = {"class/power_supply/AC/type": "Mains"} if "AC" in said else {}
    if "volts" in said or "amps" in said:
        files["class/hwmon/hwmon2/name"] = "ina219"
    if "capacity" in said or "status" in said or "voltage" in said:
        files["class/power_supply/battery/type"] = "Battery"
    return layout(root, files | {PLACES[name]: value for name, value in said.items()})


@pytest.mark.parametrize("case", SUPPLY_TREES)
def test_what_each_meter_can_say_about_its_battery(tmp_path: Path, case: str) -> None:
    said, expected = SUPPLY_TREES[case]
    folder = "class/hwmon/hwmon2" if "volts" in said else "class/power_supply/battery"
    named = find_meter(str(tree(tmp_path, said) / folder))
    found = find_meter("auto", tmp_path)
    assert named is not None
    assert states([named.read()] * 3)[-1] is expected
    if said.get("scope") == "Device":
        assert found is None
    else:
        assert found == named


values = st.one_of(
    st.integers(-5_000, 5_000).map(str),
    st.integers(-5_000_000, 5_000_000).map(str),
    st.sampled_from(["", "0", "nan", "inf", "-inf", "1e400", "0x10", "?", "\0", "3300", "3310000", "\udcff"]),
)
random_trees = st.fixed_dictionaries(
    {},
    optional={
        "volts": values,
        "amps": values,
        "capacity": values | st.integers(-5, 105).map(str),
        "status": st.sampled_from(["Discharging", "Charging", "Full", "Not charging", "Unknown", "", "???"]),
        "voltage": values,
        "scope": st.sampled_from(["System", "Device", "Unknown", ""]),
        "present": st.sampled_from(["0", "1", ""]),
        "AC": values | st.sampled_from(["0", "1"]),
    },
)


@given(said=random_trees)
def test_only_a_battery_that_is_being_emptied_switches_off(
    tmp_path_factory: pytest.TempPathFactory, said: dict[str, str]
) -> None:
    root = tree(tmp_path_factory.mktemp("sys"), {name: value.replace("\udcff", "\xff") for name, value in said.items()})
    for meter in meters(root):
        try:
            reading = meter.read()
        except PowerError:
            continue
        assert reading.watts is None or reading.watts >= 0
        if states([reading] * 5)[-1] is Battery.EMPTY:
            assert float(said.get("AC", "0") if said.get("AC") not in ("?", "") else "0") <= 0
            assert reading.volts is not None and 2.4 < reading.volts < 60
            if isinstance(meter, Hwmon):
                assert float(said["amps"]) >= 50
            else:
                assert said["status"] == "Discharging" and said.get("scope") != "Device"


def test_current_flowing_in_is_no_consumption(tmp_path: Path) -> None:
    sys = layout(tmp_path / "sys", INA219 | {"class/hwmon/hwmon2/curr1_input": "-612"})
    monitor = Monitor(schema.PowerSettings(), find_meter("auto", sys), print, read_gauges)
    sample = monitor.sample(Usage("ready"))
    assert (sample.watts, sample.amps) == (None, pytest.approx(-0.612))
    layout(sys, IIO | {"bus/iio/devices/iio:device0/in_current3_raw": "-500"})
    assert Iio(sys / "bus/iio/devices/iio:device0").read().watts is None


def test_a_chip_that_is_wired_the_other_way_round(tmp_path: Path) -> None:
    layout(tmp_path, INA219 | IIO | {"class/hwmon/hwmon2/curr1_input": "-612"})
    meter = find_meter("auto", tmp_path, reverse=True)
    assert meter is not None and meter.read().flow is Flow.OUT
    assert Iio(tmp_path / "bus/iio/devices/iio:device0", -1.0).read().flow is Flow.IN


def test_a_meter_that_gets_another_number_is_found_again(tmp_path: Path) -> None:
    layout(tmp_path, INA219 | {"class/hwmon/hwmon5/name": "ina219", "class/hwmon/hwmon5/in1_input": "4100"})
    folders = [tmp_path / f"class/hwmon/hwmon{n}" for n in (2, 5)]
    for chip, folder in zip(("1-0040", "1-0041"), folders, strict=True):
        (tmp_path / "devices" / chip).mkdir(parents=True)
        (folder / "device").symlink_to(tmp_path / "devices" / chip)
    for wanted in ("auto", str(folders[0])):
        meter = LastingMeter(wanted, tmp_path)
        assert meter.read().volts == pytest.approx(3.928)
        away = folders[0].rename(tmp_path / "away")
        with pytest.raises(PowerError, match="gone"):
            meter.read()
        folders[1].rename(folders[0])  # the other chip has its number now
        away.rename(folders[1])
        assert meter.read().volts == pytest.approx(3.928)
        folders[1].rename(away)
        folders[0].rename(folders[1])
        away.rename(folders[0])


class Sysfs:
    """A /sys in which the kernel numbers devices: real folders below /sys/devices, links elsewhere."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def bind(self, device: str, listed: Path, number: str, files: dict[str, str], controller: str = "i2c@1") -> Path:
        """A driver's folder for a device; returns the link in the list of its kind."""
        parent = self.root / "devices/platform/soc" / controller / f"i2c-{device.partition('-')[0]}" / device
        folder = parent / number if "iio" in number else parent / listed.name / number
        layout(folder, files)
        if "iio" not in number:  # of a class, so with a link to the device
            (folder / "device").symlink_to(parent)
        (self.root / "bus/i2c/devices").mkdir(parents=True, exist_ok=True)
        if not (by_place := self.root / "bus/i2c/devices" / device).exists():
            by_place.symlink_to(parent)
        (self.root / listed).mkdir(parents=True, exist_ok=True)
        link = self.root / listed / number
        link.symlink_to(folder)
        return link

    def unbind(self, link: Path) -> None:
        shutil.rmtree(link.resolve())
        link.unlink()


HWMON, IIO_BUS, SUPPLY = Path("class/hwmon"), Path("bus/iio/devices"), Path("class/power_supply")


def chip(kind: Path, volts: str) -> dict[str, str]:
    """The files of a meter that shows `volts` mV."""
    if kind == SUPPLY:
        return {"type": "Battery", "status": "Discharging", "voltage_now": f"{volts}000"}
    return {"name": "ina219", "in1_input": volts} if kind == HWMON else {"name": "ina219", "in_voltage1_raw": volts}


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(HWMON, "hwmon{}"), (IIO_BUS, "iio:device{}"), (SUPPLY, "bq27500-{}")],
    ids=["hwmon", "iio", "battery"],
)
@pytest.mark.parametrize("way", ["list", "device", "bus"])
def test_a_meter_named_by_its_path_is_followed_to_its_new_number(
    tmp_path: Path, kind: Path, numbers: str, way: str
) -> None:
    sys = Sysfs(tmp_path)
    ours = sys.bind("1-0040", kind, numbers.format(2), chip(kind, "3900"))
    other = sys.bind("1-0041", kind, numbers.format(5), chip(kind, "5100"))
    by_place = tmp_path / "bus/i2c/devices/1-0040" / ours.resolve().relative_to(ours.resolve().parents[1])
    if kind == IIO_BUS:
        by_place = tmp_path / "bus/i2c/devices/1-0040" / ours.name
    wanted = {"list": ours, "device": ours.resolve(), "bus": by_place}[way]
    meter = LastingMeter(str(wanted), tmp_path)  # not read before the numbers change
    sys.unbind(ours)
    with pytest.raises(PowerError, match="gone"):
        meter.read()
    sys.unbind(other)
    sys.bind("1-0041", kind, numbers.format(2), chip(kind, "5100"))  # the other one has its number now
    with pytest.raises(PowerError, match="gone"):
        meter.read()
    moved = sys.bind("1-0040", kind, numbers.format(7), chip(kind, "3900"))
    assert meter.read().volts == pytest.approx(3.9)
    sys.unbind(moved)
    sys.bind("1-0040", kind, numbers.format(10), chip(kind, "3800"))
    assert meter.read().volts == pytest.approx(3.8)


def test_a_meter_that_cannot_be_read_at_first_is_followed_too(tmp_path: Path) -> None:
    sys = Sysfs(tmp_path)
    ours = sys.bind("1-0040", HWMON, "hwmon2", chip(HWMON, ""))
    meter = LastingMeter(str(ours), tmp_path)
    with pytest.raises(PowerError, match="cannot be read"):
        meter.read()
    sys.unbind(ours)
    sys.bind("1-0041", HWMON, "hwmon2", chip(HWMON, "5100"))
    sys.bind("1-0040", HWMON, "hwmon3", chip(HWMON, "3900"))
    assert meter.read().volts == pytest.approx(3.9)


@pytest.mark.parametrize("wanted", ["auto", "class/hwmon/hwmon2"])
def test_a_meter_whose_bus_gets_another_number_is_followed_and_one_of_another_controller_is_not(
    tmp_path: Path, wanted: str
) -> None:
    sys = Sysfs(tmp_path)
    ours = sys.bind("1-0040", HWMON, "hwmon2", chip(HWMON, "3900"))
    meter = LastingMeter(wanted if wanted == "auto" else str(tmp_path / wanted), tmp_path)
    sys.unbind(ours)
    sys.bind("1-0040", HWMON, "hwmon2", chip(HWMON, "5100"), "i2c@3")  # has both numbers now
    sys.bind("11-0041", HWMON, "hwmon4", chip(HWMON, "5200"))
    with pytest.raises(PowerError, match="gone"):
        meter.read()
    sys.bind("11-0040", HWMON, "hwmon5", chip(HWMON, "3900"))
    assert meter.read().volts == pytest.approx(3.9)


def test_two_batteries_of_one_driver_are_told_apart(tmp_path: Path) -> None:
    layout(tmp_path, {f"class/power_supply/battery{n}/{name}": text for n, volts in ((0, "3700"), (1, "4100"))
                      for name, text in chip(SUPPLY, volts).items()})  # fmt: skip
    meter = LastingMeter(str(tmp_path / "class/power_supply/battery1"), tmp_path)
    assert meter.read().volts == pytest.approx(4.1)
    (tmp_path / "class/power_supply/battery0/voltage_now").write_text("3600000")
    assert meter.read().volts == pytest.approx(4.1)


def test_a_meter_whose_driver_is_loaded_late_is_found(tmp_path: Path) -> None:
    meter = LastingMeter("auto", tmp_path)
    assert meter.read() == Reading()
    layout(tmp_path, INA219)
    assert meter.read().volts == pytest.approx(3.928)
    late = LastingMeter(str(tmp_path / "class/hwmon/hwmon7"), tmp_path)
    with pytest.raises(PowerError, match="no hwmon"):
        late.read()
    (tmp_path / "class/hwmon/hwmon2").rename(tmp_path / "class/hwmon/hwmon7")
    assert late.read().volts == pytest.approx(3.928)


@pytest.mark.parametrize("garbled", ["", "x", "-1", "0x", "throttled=0x5", "1" * 40, "\0\0", "nan"])
def test_a_gauge_that_says_something_else_is_unknown(tmp_path: Path, garbled: str) -> None:
    sys = layout(
        tmp_path,
        {
            "devices/platform/soc/soc:firmware/get_throttled": garbled,
            "class/thermal/thermal_zone0/temp": garbled,
            "class/hwmon/hwmon1/name": "rpi_volt",
            "class/hwmon/hwmon1/in0_lcrit_alarm": garbled,
            "loadavg": f"{garbled} 1 2",
        },
    )
    gauges = read_gauges(sys, sys)
    assert gauges.throttled is None
    assert gauges.celsius is None or garbled in ("-1", "1" * 40)


@given(volts=st.floats(-100, 100))
def test_charge_by_voltage_is_in_range_or_unknown(volts: float) -> None:
    percent = charge(Reading(volts=volts), schema.PowerSettings())
    assert percent is None or 0 <= percent <= 100
    assert (percent is None) == (not 2.475 <= volts <= 4.15 * 1.1)


def test_a_meter_and_a_disk_that_fail_are_each_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "power").write_text("in the way")
    settings = schema.PowerSettings(dir=tmp_path / "power", flush_s=0)
    monitor = Monitor(settings, Hwmon(tmp_path / "gone"), print)
    for _ in range(20):
        monitor._log_sample(monitor.sample(Usage("ready")))
    assert len(caplog.records) == 2


def test_the_monitor_tags_samples_and_warns(tmp_path: Path) -> None:
    sys = layout(tmp_path / "sys", INA219)
    settings = schema.PowerSettings(dir=tmp_path / "power", interval_s=0.1, flush_s=0)
    told: list[Battery] = []
    empty = threading.Event()

    def on_battery(battery: Battery) -> None:
        told.append(battery)
        if battery is Battery.EMPTY:
            empty.set()

    moments = [0.0]

    def monotonic() -> float:
        moments.append(time.monotonic())
        return moments[-1]

    meter = find_meter("auto", sys)
    monitor = Monitor(settings, meter, on_battery, monotonic=monotonic, clock=lambda: moments[-1])
    monitor.start()
    monitor.record_usage(Usage("listening"))
    monitor.record_usage(Usage("finalizing", speech_s=1.5, words=4))
    layout(sys, {"class/hwmon/hwmon2/in1_input": "3300"})
    assert empty.wait(5)
    monitor.stop()
    samples = list(samples_in(settings.dir))
    assert told[-1] is Battery.EMPTY
    assert list(dict.fromkeys(sample.state for sample in samples)) == ["starting", "listening", "finalizing"]
    assert sum(sample.words for sample in samples) == 4
    assert sum(sample.speech_s for sample in samples) == 1.5
    assert {sample.watts for sample in samples} == {2.4}
    span = samples[-1].time - samples[0].time
    assert sum(sample.seconds for sample in samples[1:]) == pytest.approx(span)


def test_the_monitor_outlives_its_meter_and_its_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "power").write_text("in the way")
    settings = schema.PowerSettings(dir=tmp_path / "power", interval_s=0.1, flush_s=0)
    monitor = Monitor(settings, Hwmon(tmp_path / "gone"), lambda battery: None)
    monitor.start()
    monitor.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert any("cannot be read" in message for message in messages)
    assert any("cannot be written" in message for message in messages)


def test_the_report_adds_up() -> None:
    samples = [
        Sample(100.0, 100.0, "ready", watts=2.0, percent=80),
        Sample(160.0, 60.0, "listening", watts=4.0, speech_s=60.0, words=120),
        Sample(170.0, 10.0, "finalizing", watts=6.0, percent=50),
        Sample(270.0, 100.0, "ready", watts=3.0, celsius=51.0, throttled=0x50000),
        Sample(300.0, 30.0, "ready"),
    ]
    report = summarise(samples)
    assert [(row.state, row.seconds, row.watts) for row in report.states] == [
        ("ready", 230.0, 2.5),
        ("listening", 60.0, 4.0),
        ("finalizing", 10.0, 6.0),
    ]
    assert report.joules == 200 + 240 + 60 + 300
    assert report.joules_per_minute == 300
    assert report.joules_per_word == 2.5
    mean = (230 * 2.5 + 240 + 60) / 300
    assert report.watts == pytest.approx(mean)
    assert report.hours_left(40.0) == pytest.approx(20 / mean)


@given(samples=st.lists(rows, max_size=40))
def test_the_plot_is_well_formed_whatever_was_logged(samples: list[Sample]) -> None:
    ElementTree.fromstring(svg(samples))


def test_nothing_measured_is_said_not_invented() -> None:
    report = summarise([Sample(1.0, 1.0, "ready")])
    assert report.watts is None and report.joules_per_word is None and report.hours_left(40) is None


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = PowerLog(tmp_path / "power", max_bytes=10**6, keep=3, flush_s=0)
    for second in range(100):
        state = "listening" if second % 10 < 3 else "ready"
        log.add(Sample(time.time() - 100 + second, 1.0, state, watts=2.0, percent=90, speech_s=0.3, words=1))
    assert cli.main(["power", "report", "--dir", str(log.folder), "--svg", str(tmp_path / "plot.svg")]) == 0
    out = capsys.readouterr().out
    assert "listening" in out and "per word             0.60 J" in out
    assert ElementTree.parse(tmp_path / "plot.svg")
    assert cli.main(["power", "report", "--dir", str(tmp_path / "none")]) == 1
    assert "no samples" in capsys.readouterr().err


def test_measuring_once_prints_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sys = layout(tmp_path / "sys", INA219 | {"class/thermal/thermal_zone0/temp": "48312"})
    assert cli.main(["power", "now", "--sys", str(sys)]) == 0
    told = capsys.readouterr().out
    assert "watts      2.4\n" in told and "discharging" in told and "celsius    48.31\n" in told
    (sys / "class/hwmon/hwmon2/name").write_text("other\n")
    assert cli.main(["power", "now", "--sys", str(sys)]) == 0
    told = capsys.readouterr().out
    assert "no meter" in told and "celsius    48.31\n" in told and "throttling not measured" in told
    assert cli.main(["power", "now", "--sys", str(sys), "--set", f"power.meter={tmp_path}"]) == 1
    told, wrong = capsys.readouterr()
    assert "celsius    48.31\n" in told and wrong.startswith(f"dictate power: {tmp_path}: no hwmon")
