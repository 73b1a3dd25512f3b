"""A thousand random faults, of every kind that was seen in the field, in the life of one appliance.

Nothing that was said may be lost, typed twice, typed in another order or as something else, and nothing may switch
the appliance off. Time is simulated (tests/support/simulated_appliance.py says what is real); tests/system/test_soak.py
does the same for fewer faults in a process of its own, in real time.

A failure names its seed; FAULTS_SEED=… and FAULTS=… (how many) repeat it and make it longer, FAULTS_CHECK=1 looks
after each fault instead of after fifty.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from meter_readings import READINGS
from numpy.typing import NDArray
from simulated_appliance import LETTERS, WRITTEN, Killed, World, as_written, sound, word

from device.app.ports import Outcome, Phase
from device.audio.capture import paced
from device.audio.file import WaveFile
from device.panel.leds import LedState
from device.power.monitor import Battery

FAULTS = int(os.environ.get("FAULTS", "1000"))
SEED = int(os.environ.get("FAULTS_SEED", "20261128"))

ODD_READINGS = (*READINGS, {"in1_input": "65535", "curr1_input": "-32768"}, {})
"""What a meter says that is no reason to switch off, for however long."""

DAMAGED_WORDS = (
    "\ufeff{good}".encode(),
    b"\x80\xfe\x00bad\n{good}",
    b"{good}\x80\x81\n\x00\n",
    b"# mine\r\n{good}",
    b"\t\t\n{good}==\n",
)


class Faults:
    """One method for each kind of fault: it happens, something is said, it ends."""

    def __init__(self, world: World) -> None:
        self.world, self.random = world, world.random
        self.count: Counter[str] = Counter()
        self.number = 0
        self.certain: list[str] = []
        """Words that were said while nothing kept them from being heard and typed."""
        self.possible: set[str] = set()
        """Words of which a part may have been heard, and which may not have been typed."""

    def kinds(self) -> list[Callable[[], None]]:
        return [getattr(self, name) for name in vars(type(self)) if name.startswith("fault_")]

    def run(self, faults: int) -> None:
        kinds = self.kinds()
        for number in range(faults):
            fault = kinds[number] if number < len(kinds) else self.random.choice(kinds)
            name = fault.__name__.removeprefix("fault_")
            self.count[name] += 1
            fault()
            self.settle()
            wrong = self.world.shown - {LedState.READY}
            assert not wrong, f"after {name} (fault {number}) the LEDs still say {wrong}"
            if number % 3 == 0:
                self.say()
            if number % 50 == 49 or os.environ.get("FAULTS_CHECK"):
                self.check()
        self.check()

    # --- what is said, and what must have become of it

    def new(self) -> str:
        self.number += 1
        return word(self.number * 7 % 15_972)

    def say(self, certain: bool = True) -> str:
        said = self.new()
        self.certain += [said] if certain else []
        self.possible |= set() if certain else {said}
        self.world.dictate(said)
        return said

    def settle(self) -> None:
        """Until all that can be typed is typed, and the appliance is well again."""
        world = self.world
        world.pass_time(60.0, until=lambda: world.session.keyboard.idle and world.shown == {LedState.READY})

    def check(self) -> None:
        """Everything that ever was said: heard, kept, and typed once, in order, and as it was written."""
        world = self.world
        states, found = world.states(), world.found
        assert len(set(found)) == len(found), "a word was recognised twice"
        heard = [each for each in found if each not in self.possible]
        assert heard == self.certain, "heard wrongly, twice, or not at all"
        assert world.acknowledged <= states.keys(), "not kept"
        assert world.damaged_lines() == []
        whole = self.in_order(as_written(world.computer.screen), {each: at for at, each in enumerate(found)}, states)
        assert [each for each in self.certain if each not in whole] == [], "said while all was well, and not typed"
        typed = [each for each, state in states.items() if state == "typed"]
        assert [each for each in typed if each not in whole] == [], "marked as typed"
        assert Battery.EMPTY not in world.batteries

    def in_order(self, screen: list[str], place: dict[str, int], states: Mapping[str, str]) -> set[str]:
        """The words that stand on the screen, which are in the order in which they were said, none of them twice.

        Between them there may be the beginning of one that was dropped, or broke off when the process was killed.
        """
        cut = {place[each]: each for each, state in states.items() if state in ("typing", "dropped")}
        newest, whole, parts = -1, set(), list[str]()
        for each in [*screen, ""]:
            at = place.get(each.lower(), len(place)) if each else len(place)
            if each and each.lower() not in place:
                parts.append(each.lower())
                continue
            assert at > newest, f"{each}: typed twice, or in another order"
            assert not each or each in self.world.written, f"{each}: a capital was lost or added"
            for part in parts:
                newest = next((n for n in range(newest + 1, at) if cut.get(n, "").startswith(part)), at)
                assert newest < at, f"{part}: mistyped, or typed twice"
            parts.clear()
            newest = at
            whole.add(each.lower())
        return whole

    def expect(self, state: LedState) -> None:
        assert state in self.world.seen, f"the LEDs did not say {state.value!r}"

    def watch(self) -> None:
        self.world.seen.clear()

    # --- the microphone

    def fault_microphone_lost_while_idle(self) -> None:
        self.watch()
        self.world.lose_microphone()
        self.world.pass_time(self.random.uniform(0.2, 3.0))
        self.world.edge(True)
        self.world.pass_time(self.random.uniform(0.1, 2.0))
        self.world.edge(False)
        self.expect(LedState.MICROPHONE_MISSING)
        self.world.find_microphone()
        self.say()

    def fault_microphone_lost_while_speaking(self) -> None:
        whole, cut = self.new(), self.new()
        self.certain.append(whole)
        world = self.world
        world.hear()
        world.edge(True)
        world.pass_time(0.2)
        world.say(whole)
        world.pass_time(0.3)
        tones = sound(cut)[: round(16_000 * 0.2 * self.random.randint(0, 3))]
        for at in range(0, len(tones), 1_600):
            world.hear(tones[at : at + 1_600])
        before = len(world.found)
        world.lose_microphone()
        world.pass_time(self.random.uniform(0.1, 3.0))
        self.possible |= set(world.found[before:])
        assert all(cut.startswith(each.partition("w")[0]) for each in world.found[before:] if each != whole)
        self.possible -= {whole}
        world.find_microphone()
        world.edge(False)
        world.pass_time(1.0)

    def fault_channel_dead_or_turned(self) -> None:
        """A stereo card of which one side is dead, hums, or is turned round, and changes sides."""
        side = self.random.randint(0, 1)
        other = self.random.choice([0.0, 1e-4, -1.0, 0.5])

        def shape(samples: NDArray[np.float32]) -> NDArray[np.float32]:
            both = np.stack([samples, other * samples], axis=1)
            return np.asarray(both if side == 0 else both[:, ::-1], np.float32)

        self.world.microphone_settings(2, self.random.choice([16_000, 48_000]), shape)
        for _ in range(2):
            self.world.pass_time(0.5)
            self.say()
            side = 1 - side
        self.world.microphone_settings(1, 16_000)

    def fault_card_of_another_rate(self) -> None:
        self.world.lose_microphone()
        self.world.microphone_settings(1, self.random.choice([8_000, 22_050, 32_000, 44_100, 48_000]))
        self.world.find_microphone()
        self.say()
        self.world.microphone_settings(1, 16_000)

    def fault_source_ends(self) -> None:
        """A recording in place of the microphone ends, breaks off, or is none; what could be read is typed."""
        with tempfile.TemporaryDirectory() as folder:
            path, said = Path(folder) / "source", [self.new() for _ in range(2)]
            whole = np.concatenate([np.zeros(3_200), *(np.append(sound(each), np.zeros(6_400)) for each in said)])
            kind = self.random.choice(["whole", "cut", "no length", "flac cut", "empty", "text", "missing", "folder"])
            if kind in ("whole", "cut", "no length"):
                with wave.open(str(path), "wb") as stream:
                    stream.setparams((1, 2, 16_000, 0, "NONE", ""))
                    stream.writeframes((whole * 32_000).astype("<i2").tobytes())
            elif kind == "flac cut":
                soundfile.write(path, whole, 16_000, format="FLAC")
            elif kind == "folder":
                path.mkdir()
            elif kind != "missing":
                path.write_bytes(b"no sound at all\n" * 40 if kind == "text" else b"")
            if kind.endswith("cut"):
                os.truncate(path, self.random.randrange(44, path.stat().st_size))
            if kind == "no length":
                with path.open("r+b") as header:
                    header.seek(40)
                    header.write(struct.pack("<I", 0))
            told: list[str] = []
            before = len(self.world.found)
            self.world.edge(True)
            blocks = paced(WaveFile(path), sleep=lambda seconds: None, told=told.append)
            for _ in range(len(whole) // 1_600 + 3):
                self.world.hear((next(blocks).samples / 32_768).astype(np.float32))
            self.world.edge(False)
            self.world.pass_time(1.0)
            heard = self.world.found[before:]
        assert heard == said or bool(told) == (kind != "no length"), f"{kind}: told {told}, heard {heard} of {said}"
        if kind in ("whole", "no length"):
            assert heard == said, f"{kind}: heard {heard} of {said}"
        text = "".join(each[1:] for each in said)
        assert text.startswith("".join(each[1:].partition("w")[0] for each in heard)), (
            f"{kind}: heard {heard} of {said}"
        )
        self.certain += heard

    def fault_sound_lost(self) -> None:
        self.world.overruns += self.random.randint(1, 5)
        self.say()

    # --- the computer

    def fault_computer_asleep_for_a_moment(self) -> None:
        self.world.computer.sleep()
        self.say()
        self.world.pass_time(self.random.uniform(0.0, 1.0), until=lambda: False)
        self.world.computer.wake()
        self.settle()

    def fault_computer_asleep(self) -> None:
        self.watch()
        at = self.random.uniform(0.0, 0.3)
        said = self.say(certain=False)
        self.world.pass_time(at)
        self.world.computer.sleep()
        for _ in range(self.random.randint(1, 3)):
            self.say(certain=False)
            self.world.pass_time(2.0)
        self.world.pass_time(3.0)
        self.expect(LedState.CANNOT_TYPE)
        self.world.computer.wake()
        assert said in self.world.found
        self.say()

    def fault_computer_away(self) -> None:
        self.settle()
        self.watch()
        self.world.computer.unplug()
        for _ in range(self.random.randint(1, 3)):
            self.say(certain=False)
            self.world.pass_time(self.random.uniform(0.0, 4.0))
        self.world.pass_time(3.0)
        self.expect(LedState.CANNOT_TYPE)
        self.world.computer.plug_in()
        self.settle()
        self.say()

    def fault_computer_away_for_a_moment(self) -> None:
        self.settle()
        self.world.computer.unplug()
        self.world.pass_time(self.random.uniform(0.1, 1.0))
        self.world.computer.plug_in()
        self.say()

    def fault_keyboard_is_an_ordinary_file(self) -> None:
        self.settle()
        self.watch()
        computer = self.world.computer
        computer.unplug()
        self.world.session.port.close()  # as the loss of a computer does
        computer.pipe.unlink()
        computer.pipe.write_text("not for keys")
        self.say(certain=False)
        self.world.pass_time(4.0)
        self.expect(LedState.CANNOT_TYPE)
        assert computer.pipe.read_text() == "not for keys"
        computer.pipe.unlink()
        os.mkfifo(computer.pipe)
        computer.plug_in()
        self.settle()
        self.say()

    # --- the disk

    def fault_disk_full(self) -> None:
        self.watch()
        free = self.world.full_disk(self.random.randint(0, 200))
        try:
            for _ in range(3):
                self.say()
            self.expect(LedState.FAULT)
        finally:
            free()
        self.say()

    def fault_journal_cannot_be_opened(self) -> None:
        """At a start its folder is none, as after a card's file system went read-only or was damaged."""
        folder = self.world.folder / "journal"
        self.settle()
        self.watch()
        aside = folder.rename(folder.with_name("aside"))
        folder.write_text("not a folder")
        self.world.terminate()
        self.say()
        self.expect(LedState.FAULT)
        folder.unlink()
        aside.rename(folder)
        self.world.terminate()
        self.say()

    # --- the meter

    def _meter(self) -> Path:
        return next((self.world.folder / "sys/class/hwmon").glob("hwmon*"))

    def _reads(self, reading: dict[str, str]) -> None:
        for name in ("in1_input", "curr1_input"):
            file = self._meter() / name
            if name in reading:
                file.write_text(reading[name] + "\n")
            else:
                file.unlink(missing_ok=True)

    def _well(self) -> None:
        self._reads({"in1_input": "3900", "curr1_input": "600"})
        self.world.pass_time(5.0, until=lambda: LedState.BATTERY_LOW not in self.world.shown)

    def fault_meter_lies(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            self._reads(self.random.choice(ODD_READINGS))
            self.world.pass_time(self.random.choice([0.3, 1.0, 6.0]))
        self.say()
        self._well()

    def fault_meter_dips(self) -> None:
        """A load pulls the voltage down, for less time than it takes to believe it."""
        self._reads({"in1_input": "3200", "curr1_input": "900"})
        self.world.pass_time(self.random.uniform(0.2, 1.9))
        self._well()
        self.say()

    def fault_meter_empty_while_a_charger_is_on(self) -> None:
        charger = self.world.folder / "sys/class/power_supply/charger"
        charger.mkdir(parents=True, exist_ok=True)
        (charger / "type").write_text("Mains\n")
        (charger / "online").write_text("1\n")
        self.watch()
        self._reads({"in1_input": "3200", "curr1_input": "850"})
        self.world.pass_time(6.0)
        assert LedState.BATTERY_LOW not in self.world.seen
        self.say()
        self._well()
        (charger / "online").write_text("0\n")

    def fault_meter_gone_and_renumbered(self) -> None:
        folder = self._meter()
        number = self.random.randint(2, 12)
        if self.random.random() < 0.5:
            aside = folder.rename(self.world.folder / "meter")
            self.world.pass_time(self.random.uniform(0.5, 5.0))
            self.say()
            aside.rename(folder.with_name(f"hwmon{number}"))
        elif number != int(folder.name.removeprefix("hwmon")):
            folder.rename(folder.with_name(f"hwmon{number}"))
        self.world.pass_time(2.0)
        self.say()

    def fault_meter_says_low(self) -> None:
        self.watch()
        self._reads({"in1_input": "3360", "curr1_input": "850"})
        self.world.pass_time(5.0)
        self.expect(LedState.BATTERY_LOW)
        self.say()
        self._well()

    # --- the Coral, the recogniser

    def fault_coral(self) -> None:
        self.watch()
        whole = self.new()
        self.certain.append(whole)
        world = self.world
        world.hear()
        world.edge(True)
        tones = sound(whole)
        fails = self.random.randrange(len(tones) // 1_600)
        for at in range(0, len(tones), 1_600):
            if at // 1_600 == fails:
                world.coral.fault = self.random.choice(["crashed", "hung", "gone"])
            world.hear(tones[at : at + 1_600])
        world.pass_time(0.2)
        world.edge(False)
        world.pass_time(1.0)
        self.expect(LedState.ON_CPU)
        if self.random.random() < 0.5:
            self.say()
        world.coral.fault = ""
        world.now += 301.0
        self.say()

    def fault_recogniser_broken(self) -> None:
        self.watch()
        self.world.broken = True
        self.world.hear()
        self.world.edge(True)
        self.world.say(self.new())
        self.world.edge(False)
        self.world.pass_time(1.0)
        self.expect(LedState.FAULT)
        self.world.broken = False
        self.world.pass_time(12.0, until=lambda: self.world.session.appliance.phase is Phase.READY)
        self.say()

    def fault_words_found_late(self) -> None:
        """A machine that is behind finds no word before the button is let go, however long that was held."""
        said = [self.new() for _ in range(self.random.randint(1, 3))]
        self.certain += said
        self.world.behind = True
        self.world.hear()
        self.world.edge(True)
        for each in said:
            self.world.pass_time(self.random.uniform(0.2, 8.0))
            self.world.say(each)
        self.world.edge(False)
        self.world.pass_time(1.0)
        self.world.behind = False

    # --- files

    def fault_words_damaged(self) -> None:
        """The good line counts, whatever is around it."""
        good = self.world.words_file.read_bytes()
        damaged = self.random.choice(DAMAGED_WORDS).replace(b"{good}", good)
        self.world.words_file.write_bytes(damaged)
        if self.random.random() < 0.3:
            self.settle()
            self.world.terminate()
        self.world.pass_time(2.5)
        before = self.world.computer.screen.count(WRITTEN)
        self.world.own_word = True
        self.say()
        self.settle()
        assert self.world.computer.screen.count(WRITTEN) == before + 1, f"the user's word was forgotten: {damaged!r}"
        self.world.words_file.write_bytes(good)
        self.world.pass_time(2.5)

    def fault_words_unreadable(self) -> None:
        """What was known stays known."""
        good = self.world.words_file.read_bytes()
        self.world.words_file.unlink()
        self.world.words_file.mkdir()
        self.world.pass_time(2.5)
        self.say()
        self.world.words_file.rmdir()
        self.world.words_file.write_bytes(good)
        self.world.pass_time(2.5)

    def fault_reload_with_a_bad_line(self) -> None:
        line = self.random.choice(["[panel]\nmode = 3", "[sinks.keyboard]\nlayuot = 1", "[[[", "[text]\nnumbers = 7"])
        self.world.config_file.write_text(self.world.config_file.read_text() + line)
        assert self.world.reload() != ""
        self.say()
        self.world.configure()

    def fault_start_with_a_bad_line(self) -> None:
        self.settle()
        self.watch()
        self.world.configure('[recognizer]\nbackend = "corall"\n')
        self.world.terminate()
        self.say()
        self.expect(LedState.CONFIGURATION)
        self.world.configure()
        self.world.terminate()

    def fault_reload_while_speaking(self) -> None:
        whole = self.new()
        self.certain.append(whole)
        self.world.hear()
        self.world.edge(True)
        self.world.pass_time(0.2)
        self.world.say(whole)
        assert self.world.reload() == ""
        self.world.edge(False)
        self.world.pass_time(0.5)
        self.say()

    # --- the button

    def fault_button_bounces(self) -> None:
        world, said = self.world, self.new()
        self.certain.append(said)
        for pressed in (True, False):
            world.hear()
            for _ in range(self.random.randint(1, 9)):
                world.edge(pressed)
                world.now += self.random.uniform(0.0005, 0.01)
                world.edge(not pressed)
                world.now += self.random.uniform(0.0005, 0.01)
            world.edge(pressed)
            if pressed:
                world.pass_time(0.2)
                world.say(said)
                world.pass_time(0.2)
        world.pass_time(1.0)

    def fault_button_stuck(self) -> None:
        """Something lies on it, for longer than anybody holds a button to switch off; then it is taken away."""
        self.world.edge(True)
        self.world.pass_time(self.random.uniform(80.0, 200.0))
        self.world.edge(False)
        self.world.pass_time(1.0)
        self.say()

    def fault_button_stuck_while_speaking(self) -> None:
        said = [self.new() for _ in range(2)]
        self.certain += said
        self.world.hear()
        self.world.edge(True)
        self.world.pass_time(0.2)
        for each in said:
            self.world.say(each)
            self.world.pass_time(self.random.uniform(1.0, 30.0))
        self.world.edge(False)
        self.world.pass_time(1.0)

    # --- the end of the process, and time

    def fault_terminated_while_speaking(self) -> None:
        whole = self.new()
        self.certain.append(whole)
        self.world.hear()
        self.world.edge(True)
        self.world.pass_time(0.2)
        self.world.say(whole)
        self.world.terminate()
        self.say()

    def fault_killed(self) -> None:
        """At any place between recognition and the last key, or soon after; some more times before it is well again."""
        for _ in range(self.random.randint(1, 4)):
            before = len(self.world.found)
            self.world.doomed = self.random.randint(0, 60)
            with suppress(Killed):
                for _ in range(self.random.randint(1, 3)):
                    self.say(certain=False)
                self.world.pass_time(self.random.uniform(0.0, 0.2))
            self.possible |= set(self.world.found[before:])
            jump = self.random.choice([0.0, 0.0, 0.0, 3_600.0, -3_600.0, 86_400.0 * 365])
            self.world.jump += jump
            self.world.abandon()
            self.world.pass_time(3.0)
            kept = [each for each in self.world.found[before:] if self.world.states().get(each) == "kept"]
            assert jump or kept == [], "kept before the process was killed, and not typed by the next one"
        self.say()

    def fault_clock_jumps(self) -> None:
        for _ in range(2):
            self.world.jump += self.random.choice([1, -1]) * self.random.choice([0.5, 3_600.0, 86_400.0 * 400])
            self.say()


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is some: the journal syncs each of thousands of edits."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as made:
        meter = Path(made) / "sys/class/hwmon/hwmon2"
        meter.mkdir(parents=True)
        (meter / "name").write_text("ina219\n")
        (meter / "in1_input").write_text("3900\n")
        (meter / "curr1_input").write_text("600\n")
        yield Path(made)


def test_a_thousand_faults_lose_double_mistype_and_switch_off_nothing(folder: Path) -> None:
    print(f"\nFAULTS_SEED={SEED} FAULTS={FAULTS}", file=sys.stderr)
    world = World(folder, SEED)
    faults = Faults(world)
    try:
        faults.run(FAULTS)
    finally:
        world.close()
    states = Counter(world.states().values())
    print(f"{dict(faults.count)}; {faults.number} words, {dict(states)}; {world.now / 3_600:.1f} simulated hours")
    assert faults.count.total() == FAULTS and len(faults.count) == len(faults.kinds())
    assert states["typed"] > len(faults.certain) * 0.9 and states["dropped"] and states.total() == len(world.states())
    assert world.starts["killed"] and world.starts[Outcome.STOP.value] and world.starts[Outcome.RELOAD.value]


def test_the_words_of_the_test_are_no_commands() -> None:
    assert len({word(number) for number in range(15_972)}) == 15_972
    assert not set(LETTERS) & set("aeiouq")
