"""Months of use in minutes: 200 dictations with faults, and eight hours of simulated use in a flat memory.

The microphone is real PortAudio on a virtual sound card with a dead channel, journal and keyboard are real, the disk is
a small real file system that fills up; only the words are scripted, and the Coral's loss is: the scripted recogniser
says so. Every fault's moment comes from one seed; SOAK_SEED and SOAK_DICTATIONS change it and the length. More faults,
and kinds that need a clock set by hand, are in tests/system/test_faults.py.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from appliance_bench import Bench
from meter_readings import READINGS
from needs import Need, skip

from device.power.log import samples_in

DICTATIONS = int(os.environ.get("SOAK_DICTATIONS", "200"))
SEED = int(os.environ.get("SOAK_SEED", "4"))
NOISE = np.random.default_rng(3).integers(-9_000, 9_000, 16_000 * 60, dtype=np.int16)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, to be filled."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        skip(Need.KERNEL, "the right to mount a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


HELD_S = 3.0
"""Longer than a battery must look empty to be taken for empty."""


class Meter:
    """An INA219 that never says what it should: every state looks empty, and none is a reason to switch off.

    Laid out as the kernel does; sometimes its number changes, or a charger comes and goes. Runs until closed.
    """

    STATES = (*READINGS, {"in1_input": "3250", "curr1_input": "850", "charger": "1"})

    def __init__(self, sys: Path, seed: int) -> None:
        self.changes: Counter[str] = Counter()
        self._sys, self._random = sys, random.Random(seed)
        self.folder = sys / "class/hwmon/hwmon2"
        self.folder.mkdir(parents=True)
        (self.folder / "name").write_text("ina219\n")
        charger = sys / "class/power_supply/charger"
        charger.mkdir(parents=True)
        (charger / "type").write_text("Mains\n")
        self._write(self.STATES[-1])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._change, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _change(self) -> None:
        while not self._over.wait(self._random.uniform(0.02, 0.08)):
            if self._random.random() < 0.03:  # for long enough to be believed
                state = self.changes["held"] % len(self.STATES)
                self._write(self.STATES[state])
                self.changes["held"] += 1
                self._over.wait(HELD_S)
            elif self._random.random() < 0.1:
                number = self._random.randint(2, 12)
                self.folder = self.folder.rename(self.folder.with_name(f"hwmon{number}"))
                self.changes["renumbered"] += 1
            else:
                state = self._random.randrange(len(self.STATES))
                self._write(self.STATES[state])
                self.changes[f"state {state}"] += 1

    def _write(self, state: dict[str, str]) -> None:
        """Each file whole, and in an order in which no moment in between is a discharge: charger, current, voltage."""
        files = {self._sys / "class/power_supply/charger/online": "1"}
        files |= {self.folder / name: text for name, text in reversed(state.items()) if name != "charger"}
        for file, text in files.items():
            self._replace(file, text)
        self._replace(self._sys / "class/power_supply/charger/online", state.get("charger", "0"))

    def _replace(self, file: Path, text: str) -> None:
        beside = file.with_name(".new")
        beside.write_text(f"{text}\n")
        beside.rename(file)


class Soak:
    """Dictates with faults, and remembers which dictations had one."""

    def __init__(self, bench: Bench, card: Any, disk: Path, seed: int) -> None:
        self.bench, self.card, self.disk = bench, card, disk
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.safe: list[str] = []
        """Words of dictations without a fault: they must have been typed."""
        self.unwritable: list[str] = []
        """Words that were said while the journal could not be opened."""

    def run(self, dictations: int) -> None:
        self.bench.start()
        faults = [
            self.microphone_lost,
            self.coral_lost,
            self.disk_full,
            self.host_asleep,
            self.host_unplugged,
            self.keyboard_is_a_file,
            self.words_damaged,
            self.reloaded_with_a_bad_line,
            self.journal_read_only,
            self.terminated,
            self.killed,
        ]
        for number in range(dictations):
            if number % 3 == 2:
                fault = self.random.choice(faults) if number >= 3 * len(faults) else faults[number // 3]
                self.faults[fault.__name__] += 1
                self.settle()
                fault()
                if self.bench.ended():
                    assert fault in (self.terminated, self.killed)
                    self.bench.start()
            else:
                self.said_safely()
        self.settle()
        assert self.bench.stop(signal.SIGTERM) == 0

    def settle(self) -> None:
        """Wait until everything was typed or given up."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if all(entry.state in ("typed", "dropped") for entry in self.bench.entries()[-8:]):
                return
            time.sleep(0.02)

    def microphone_lost(self) -> None:
        self.bench.button(True)
        time.sleep(self.random.uniform(0, 0.4))
        self.card.unplug()
        time.sleep(self.random.uniform(0.2, 0.8))
        self.bench.button(False)
        self.card.plug_in()
        self.bench.manager.wait(lambda: self.bench.manager.status.startswith("ready"))
        self.bench.manager.wait(lambda: "plug it in" not in self.bench.manager.status)
        time.sleep(1.3)
        self.bench.manager.wait(lambda: "plug it in" not in self.bench.manager.status)

    def coral_lost(self) -> None:
        self.bench.button(True)
        (self.bench.folder / "coral-lost").touch()
        time.sleep(0.4)
        self.bench.button(False)
        self.bench.manager.wait(lambda: "no Coral" in self.bench.manager.status)
        (self.bench.folder / "coral-lost").unlink()

    def disk_full(self) -> None:
        with (self.disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4_096))
            except OSError:
                pass
        for _ in range(5):
            self.bench.dictate()
            if "free space" in self.bench.manager.status:
                break
            self.bench.manager.listen()
        full = "free space" in self.bench.manager.status
        (self.disk / "filler").unlink()
        self.bench.dictate()
        if full:
            self.faults["disk_full_noticed"] += 1
        self.bench.manager.wait(lambda: "free space" not in self.bench.manager.status)

    def host_asleep(self) -> None:
        self.bench.computer.sleep()
        for _ in range(self.random.randint(1, 4)):
            self.bench.dictate()
        self.bench.computer.wake()
        self.settle()

    def host_unplugged(self) -> None:
        self.settle()
        self.bench.computer.unplug()
        self.bench.dictate()
        time.sleep(self.random.uniform(0, 1.5))
        self.bench.computer.plug_in()
        self.settle()

    def keyboard_is_a_file(self) -> None:
        """As where the gadget is gone and something has written to its path."""
        computer = self.bench.computer
        computer.unplug()
        path = self.bench.folder / "hidg0"
        path.unlink()
        path.write_text("not for keys")
        self.bench.dictate()
        self.bench.manager.wait(lambda: "hidg0" in self.bench.manager.status)
        assert path.read_text() == "not for keys"
        path.unlink()
        os.mkfifo(path)
        computer.plug_in()
        self.bench.manager.wait(lambda: "hidg0" not in self.bench.manager.status)
        self.settle()

    def words_damaged(self) -> None:
        words, told = self.bench.folder / "words.tsv", self.bench.told().count("left out")
        words.write_bytes(b"\xef\xbb\xbfXiaoming\n==\n\x80\n")
        self.bench.manager.wait(lambda: self.bench.told().count("left out") > told)
        self.said_safely()
        words.unlink()

    def reloaded_with_a_bad_line(self) -> None:
        assert self.bench.child is not None
        told, ready = self.bench.told().count("stays in force"), self.bench.manager.ready
        self.bench.configure("[panel.leds]\nkind = 3\n")
        self.bench.child.send_signal(signal.SIGHUP)
        self.bench.manager.wait(lambda: self.bench.told().count("stays in force") > told)
        self.said_safely()
        self.bench.configure()
        self.bench.child.send_signal(signal.SIGHUP)
        self.bench.manager.wait(lambda: self.bench.manager.ready > ready + 1)
        self.said_safely()

    def journal_read_only(self) -> None:
        """What is said is typed and kept in memory; the next start has the journal of before."""
        assert self.bench.stop(signal.SIGTERM) == 0
        subprocess.run(["mount", "-o", "remount,ro", self.disk], check=True)
        self.bench.start()
        before = len(self.bench.acknowledged())
        self.said_safely()
        self.unwritable += self.bench.acknowledged()[before:]
        self.bench.manager.wait(lambda: "kept in memory only" in self.bench.manager.status)
        assert self.bench.stop(signal.SIGTERM) == 0
        subprocess.run(["mount", "-o", "remount,rw", self.disk], check=True)
        self.bench.start()

    def said_safely(self) -> None:
        before = len(self.bench.acknowledged())
        self.bench.dictate(self.random.uniform(0.3, 0.5))
        self.safe += self.bench.acknowledged()[before:]

    def terminated(self) -> None:
        self.ended_by(signal.SIGTERM)

    def killed(self) -> None:
        self.ended_by(signal.SIGKILL)

    def ended_by(self, number: int) -> None:
        self.bench.button(True)
        held = self.random.uniform(0.3, 0.6)
        moment = self.random.uniform(0, 1.2)
        time.sleep(min(held, moment))
        if moment > held:
            self.bench.button(False)
            time.sleep(moment - held)
        status = self.bench.stop(number)
        assert status == (0 if number == signal.SIGTERM else -number)


@pytest.mark.slow
def test_200_dictations_with_faults(tmp_path: Path, small_disk: Path, sound_card: Callable[..., Any]) -> None:
    card = sound_card(np.stack([np.zeros_like(NOISE), NOISE], axis=1), speed=4)
    meter = Meter(tmp_path / "sys", SEED)
    bench = Bench(tmp_path, journal=small_disk / "journal", meter=meter.folder)
    soak = Soak(bench, card, small_disk, SEED)
    try:
        soak.run(DICTATIONS)
    finally:
        bench.close()
        meter.close()
    print(f"\n{DICTATIONS} dictations, faults: {dict(soak.faults)}, of the meter: {dict(meter.changes)}")
    assert "switching off" not in bench.told()
    power = list(samples_in(tmp_path / "power"))
    counted = [sample for sample in power if sample.watts is not None]
    assert [sample for sample in counted if (sample.watts or 0.0) < 0 or (sample.amps or 0.0) < 0] == []
    assert {sample.percent for sample in power} >= {None, 0.0}, "it was never read, or never looked empty"
    entries = bench.entries()
    journal = Counter(entry.text.strip().lower() for entry in entries)
    acknowledged = bench.acknowledged()
    screen = bench.computer.screen
    print(f"{len(acknowledged)} segments: {Counter(entry.state for entry in entries)}")

    wrong = [word for word in acknowledged if journal[word] != (word not in soak.unwritable)]
    assert wrong == [], "lost from the journal, or there twice"
    assert [word for word in journal if screen.count(word) > 1] == [], "typed twice"
    for entry in entries:
        word = entry.text.strip().lower()
        if entry.state == "typed":
            assert screen.count(word) == 1, f"{word} is marked as typed"
        if entry.state == "kept":
            assert word not in screen, f"{word} was typed without a mark"
    untyped = [word for word in soak.safe if screen.count(word) != 1]
    assert untyped == [], "said while all was well, and not typed"
    assert len(soak.safe) >= DICTATIONS
    assert soak.faults["disk_full_noticed"] > 0, "the disk was never full"
    assert meter.changes.total() >= 5 * DICTATIONS and meter.changes["renumbered"] and meter.changes["held"] > 1
    assert all(soak.faults[name] for name in ("microphone_lost", "coral_lost", "journal_read_only", "killed"))


EIGHT_HOURS = """
import resource, sys
from pathlib import Path
import numpy as np
from device.app.controller import Appliance
from device.audio.chunk import Chunk, PreRoll
from device.config.schema import PowerSettings, SinkSettings, JournalSettings, KeyboardSettings
from device.asr.results import Final, Partial, Segment
from device.panel.gestures import Gestures
from device.output.journal import open_journal
from device.app.ports import LoadedRecognizer, Edge, Dependencies
from device.power.sensors import Gauges, Reading
from device.power.monitor import Monitor
from device.output.dispatcher import open_sinks
from device.text.formatter import TextFormatter

class Scripted:  # stands in for the recogniser
    blocks = 0
    pending = False
    def accept_waveform(self, samples):
        self.blocks += 1
        return [Partial("so much", "text", self.blocks / 10)] if self.blocks % 5 else [Segment("and so on", 0.0, 0.5)]
    def finish(self):
        self.blocks = 0
        return [Segment("at last full stop", 0.0, 1.0), Final(1.0)]
    def reset(self):
        self.blocks = 0

class Meter:
    name = "a meter"
    def read(self):
        return Reading(3.9, 0.6, 2.34)

class Nothing:
    def raise_(self): pass
    def restore(self): pass

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

folder, now, first = Path(sys.argv[1]), 0.0, 0
clock = lambda: now
journal = open_journal(JournalSettings(dir=folder / "journal", max_mb=0.5, keep=3), clock)
sinks = open_sinks(SinkSettings(keyboard=KeyboardSettings(enabled=False)), journal, sys.stdout, clock, print)
power = PowerSettings(dir=folder / "power", max_mb=0.5, keep=3)
monitor = Monitor(power, Meter(), print, lambda: Gauges(50.0, 1500.0, 0.5, 0), clock, clock)
appliance = Appliance(Dependencies(lambda: LoadedRecognizer(Scripted()), TextFormatter(),
    sinks.deliver, Gestures("hold", 0.02, 0.4, 5.0),
                            PreRoll(300), Nothing(), lambda states: None, lambda usage: None), clock)
appliance.start()
sizes = []
for minute in range(480):
    for tenth in range(600):
        now += 0.1
        if tenth % 300 in (50, 200):
            appliance.handle(Edge(now, tenth % 300 == 50))
        appliance.handle(Chunk(np.zeros(1600, np.int16), first, 0))
        appliance.tick()
        first += 1600
        if tenth % 10 == 0:
            monitor._log_sample(monitor.sample(monitor._usage))
    if minute % 48 == 47:
        sizes.append(round(resident(), 1))
sinks.close()
print(appliance.dictations, *sizes)
"""


@pytest.mark.slow
def test_memory_is_flat_over_eight_hours(tmp_path: Path) -> None:
    """Eight hours at two dictations of 15 s a minute, by a clock that is set by hand.

    The journal, which syncs each of its 29,000 segments, is in memory: what a disk does is not the question.
    """
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        command = [sys.executable, "-c", EIGHT_HOURS, folder]
        result = subprocess.run(command, capture_output=True, text=True, timeout=500)
        written = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    assert result.returncode == 0, result.stderr
    dictations, *megabytes = result.stdout.split()
    print(f"\n{dictations} dictations; resident MB every 48 minutes: {' '.join(megabytes)}")
    assert int(dictations) == 960
    sizes = [float(size) for size in megabytes]
    assert max(sizes[5:]) - sizes[2] < 1.0, sizes
    assert written < 5e6, "the logs rotate"
