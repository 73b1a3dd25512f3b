"""The USB keyboard: what a computer reads is what was written, and a computer that sleeps stops nothing."""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from usb_host import Host, Reader, Table, Xkb

from device.output import hid_report, layouts
from device.output.hid_gadget import HidGadget, is_keyboard
from device.output.journal import JournalEntry
from device.output.keyboard import GRACE_S, Keyboard
from device.text.edits import Delete, Insert, apply

NAMES = sorted(layouts.LAYOUTS)
KEYS = {name: layouts.strokes(layouts.LAYOUTS[name]) for name in NAMES}
TYPABLE = {name: "".join(sorted(KEYS[name])) for name in NAMES}


class Bench:
    """A keyboard on a named pipe, a computer at its other end, and a clock that only moves when told."""

    def __init__(
        self,
        folder: Path,
        layout: str = "us",
        reader: Reader | None = None,
        port: type[HidGadget] = HidGadget,
        **kwargs: float,
    ) -> None:
        self.path = folder / "hidg0"
        if not self.path.exists():
            os.mkfifo(self.path)
        self.now = 0.0
        self.marks: list[tuple[int, str]] = []
        self.troubles: list[str | None] = []
        self.host = Host(reader or Table(layout))
        self.end = -1
        self.plug_in()
        options = {"rate": 50.0, "queue": 100, "host_timeout_s": 10.0} | kwargs
        self.keyboard = Keyboard(
            port(self.path),
            KEYS[layout],
            rate=options["rate"],
            queue=int(options["queue"]),
            host_timeout_s=options["host_timeout_s"],
            clock=lambda: self.now,
            mark=lambda id, state: self.marks.append((id, state)),
            on_status=self.troubles.append,
        )
        self.ids = 0

    def plug_in(self) -> None:
        self.end = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def unplug(self) -> None:
        os.close(self.end)
        self.end = -1

    def put(self, text: str = "", delete: int = 0) -> int:
        self.ids += 1
        self.keyboard.deliver(JournalEntry(self.ids, 0.0, "", delete, text))
        return self.ids

    def read(self) -> None:
        try:
            while data := os.read(self.end, 1 << 16):
                self.host.feed(data)
        except BlockingIOError:
            pass

    def work(self, seconds: float = 1e9, read: bool = True) -> None:
        """Let time pass until there is nothing to do, or `seconds` are over."""
        end = self.now + seconds
        while (delay := self.keyboard.step()) is not None and self.now + delay <= end:
            self.now += delay
            if read and self.end >= 0:
                self.read()
        if read and self.end >= 0:
            self.read()

    def sleep(self) -> None:
        """The computer stops reading: fill what the pipe holds, as the gadget's one report would be."""
        filler = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            while os.write(filler, hid_report.RELEASE):
                pass
        except BlockingIOError:
            pass
        os.close(filler)

    @property
    def screen(self) -> str:
        return self.host.screen

    def state(self, id: int) -> str:
        return [state for marked, state in self.marks if marked == id][-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.keyboard.finish()
    if bench.end >= 0:
        bench.unplug()


@pytest.mark.parametrize("name", NAMES)
def test_libxkbcommon_reads_every_character_of_a_layout(name: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, name, Xkb(name), rate=500.0)
    bench.put(TYPABLE[name])
    bench.work()
    assert bench.screen == TYPABLE[name]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_edits_make_the_document_on_the_screen(name: str, data: st.DataObject, tmp_path: Path) -> None:
    bench = Bench(tmp_path, name)
    text = st.text(st.sampled_from(TYPABLE[name]), max_size=20)
    document = ""
    for said, deletes in data.draw(st.lists(st.tuples(text, st.integers(0, 10)), max_size=8)):
        delete = min(deletes, len(document))
        bench.put(said, delete)
        document = apply(document, (Delete(delete), Insert(said)))
    bench.work()
    assert bench.screen == document
    assert bench.host.down == set()
    assert bench.troubles == []
    bench.unplug()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.text(max_size=20), kept=st.text(st.sampled_from("ab…ß—\u200b€"), max_size=8))
@example(said="…ﬁ€漢🙂", kept="…")
@example(said="e\u0301u\u0308\u0323각\u0301", kept="a")
def test_deleting_takes_back_substitutes_whole(name: str, said: str, kept: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, name)
    bench.put(kept)
    bench.put(said)
    bench.work()
    assert bench.screen == hid_report.spelled(kept, KEYS[name]) + hid_report.spelled(said, KEYS[name])
    bench.put(delete=len(said))
    bench.work()
    assert bench.screen == hid_report.spelled(kept, KEYS[name])
    bench.unplug()


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=50))
def test_what_is_typed_is_on_the_layout_and_what_is_on_the_layout_is_typed(name: str, text: str) -> None:
    spelled = hid_report.spelled(text, KEYS[name])
    assert set(spelled) <= set(KEYS[name])
    assert hid_report.spelled(spelled, KEYS[name]) == spelled


@pytest.mark.parametrize("name", NAMES)
def test_layouts_have_the_letters_digits_and_marks_that_dictation_writes(name: str) -> None:
    from device.text.commands import MARKS

    for char in [*map(chr, range(32, 127)), *"\n\t", *"".join(mark.text for mark in MARKS)]:
        assert hid_report.spell(char, KEYS[name]) not in ("", "?") or char == "?", char
    ascii_printable = {chr(code) for code in range(32, 127)}
    assert ascii_printable - set(KEYS[name]) == ({"`", "~"} if name == "fr" else set())


def test_no_two_characters_share_their_strokes() -> None:
    for name in NAMES:
        assert len(set(KEYS[name].values())) == len(KEYS[name])


def test_every_substitute_ends_in_ascii() -> None:
    us = KEYS["us"]
    for char in hid_report.SUBSTITUTES:
        assert hid_report.spell(char, us).isascii()
        assert len(unicodedata.normalize("NFC", char)) == 1


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.text(max_size=20), stop=st.integers(0, 60))
@example(said="A?", stop=99)
@example(said="A?", stop=3)
@example(said="".join(sorted(KEYS["de"])), stop=99)
def test_a_report_changes_one_thing(name: str, said: str, stop: int, tmp_path: Path) -> None:
    """Modifier, key, key, modifier; also where typing ends in the middle of a key."""
    bench = Bench(tmp_path, name)
    sent = [hid_report.RELEASE]
    write = bench.keyboard._port.write
    bench.keyboard._port.write = lambda report: (write(report), sent.append(report))[0]  # type: ignore[method-assign]
    bench.put(said)
    for _ in range(stop):
        bench.now += bench.keyboard.step() or 0.0
        bench.read()
    bench.keyboard.finish()
    assert sent[-1] == hid_report.RELEASE
    for before, after in pairwise(sent):
        modifiers = (before[0] ^ after[0]).bit_count()
        keys = len((set(before[2:]) ^ set(after[2:])) - {0})
        assert modifiers + keys <= 1
    bench.unplug()


def test_after_a_loss_the_modifier_is_said_again_before_its_key(bench: Bench) -> None:
    bench.put("aB")
    for _ in range(4):  # release, a, release, Shift
        bench.now += bench.keyboard.step() or 0.0
    bench.read()
    bench.unplug()
    bench.work(seconds=0.1)
    bench.plug_in()
    bench.now += 1.0
    bench.keyboard.step()
    assert os.read(bench.end, 64) == hid_report.report(layouts.SHIFT)
    bench.work()
    assert bench.screen == "aB"


@pytest.mark.parametrize("name", NAMES)
def test_a_letter_and_its_accent_are_one_character(name: str, tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "über café Ångström 각")
    assert len(decomposed) > len("über café Ångström 각")
    bench = Bench(tmp_path, name)
    bench.put(decomposed)
    bench.work()
    assert bench.screen == hid_report.spelled("über café Ångström 각", KEYS[name])
    if name in ("de", "fr"):
        assert "ü" in bench.screen and "é" in bench.screen
    bench.put(delete=len(unicodedata.normalize("NFD", "é Ångström 각")))
    bench.work()
    assert bench.screen == hid_report.spelled("über caf", KEYS[name])
    bench.unplug()


@pytest.mark.parametrize("kind", ["file", "folder", "/dev/null", "/dev/zero"])
def test_what_is_no_keyboard_is_not_typed_to(tmp_path: Path, kind: str) -> None:
    bench = Bench(tmp_path)
    bench.unplug()
    bench.path.unlink()
    if kind == "file":
        bench.path.write_bytes(b"kept")
    elif kind == "folder":
        bench.path.mkdir()
    else:
        bench.path.symlink_to(kind)
    id = bench.put("a")
    bench.work(seconds=11.0)
    assert bench.troubles == [
        f"{bench.path}: no USB keyboard gadget; set sinks.keyboard.path to one, such as /dev/hidg0"
    ]
    assert bench.state(id) == "dropped"
    assert kind != "file" or bench.path.read_bytes() == b"kept"


def test_a_gadget_is_told_from_other_devices_by_its_class(tmp_path: Path) -> None:
    number = f"{os.major(Path('/dev/null').stat().st_rdev)}:{os.minor(Path('/dev/null').stat().st_rdev)}"
    device = tmp_path / "dev/char" / number
    device.mkdir(parents=True)
    for name, gadget in (("mem", False), ("hidg", True)):
        (tmp_path / "class" / name).mkdir(parents=True)
        (device / "subsystem").unlink(missing_ok=True)
        (device / "subsystem").symlink_to(tmp_path / "class" / name)
        assert is_keyboard(Path("/dev/null"), tmp_path) is gadget


@given(rate=st.floats(1, 500), text=st.text(st.sampled_from("abc"), min_size=1, max_size=30))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keys_are_not_sent_faster_than_the_rate(tmp_path: Path, rate: float, text: str) -> None:
    bench = Bench(tmp_path, rate=rate)
    bench.keyboard.step()
    bench.now += 1
    bench.put(text)
    bench.work(seconds=(len(text) - 1) / rate * 0.99)
    assert bench.host.presses <= max(1, len(text) - 1)
    bench.work(seconds=1.2 / rate)
    assert bench.screen == text
    bench.unplug()


def test_marks_follow_the_keys(bench: Bench) -> None:
    first, second = bench.put("ab"), bench.put("c")
    bench.keyboard.step()
    assert bench.marks == []
    bench.now += 1
    bench.keyboard.step()
    assert bench.marks == [(first, "typing")]
    bench.work()
    assert bench.marks == [(first, "typing"), (first, "typed"), (second, "typing"), (second, "typed")]


def test_a_computer_that_wakes_in_time_gets_everything(bench: Bench) -> None:
    bench.put("Hello")
    bench.work()
    bench.sleep()
    bench.put(" world")
    bench.work(seconds=9.0, read=False)
    assert len(bench.troubles) == 1
    assert "asleep" in str(bench.troubles[0])
    bench.work()
    assert bench.screen == "Hello world"
    assert bench.troubles[1:] == [None]


def test_a_computer_that_sleeps_on_gets_nothing_and_deletions_stay_right(bench: Bench) -> None:
    kept = bench.put("Hello")
    bench.work()
    bench.sleep()
    lost = [bench.put(" world"), bench.put(" again")]
    bench.work(seconds=10.5, read=False)
    assert bench.state(kept) == "typed"
    assert [bench.state(id) for id in lost] == ["dropped", "dropped"]
    bench.read()
    assert bench.troubles[1:] == []
    bench.work(seconds=1.0)
    assert bench.troubles[1:] == [None], "back, though there is nothing to type"
    bench.put("!", delete=len("lo world again"))
    bench.work()
    assert bench.screen == "Hel!"


def test_a_short_refusal_is_not_reported(bench: Bench) -> None:
    bench.put("a")
    bench.work()
    bench.sleep()
    bench.put("b")
    bench.work(seconds=GRACE_S * 0.9, read=False)
    bench.work()
    assert bench.screen == "ab"
    assert bench.troubles == []


def test_unplugged_in_the_middle_the_rest_is_dropped_and_the_key_is_let_go(bench: Bench) -> None:
    bench.put("aaaa")
    bench.keyboard.step()
    bench.now += 0.01
    bench.keyboard.step()
    bench.read()
    assert bench.host.down != set()
    bench.unplug()
    bench.work(seconds=11.0)
    assert bench.state(1) == "dropped"
    assert "no computer is connected" in str(bench.troubles[0])
    bench.plug_in()
    bench.work(seconds=1.0)
    assert bench.host.down == set()
    assert bench.troubles[-1] is None
    bench.put("b", delete=4)
    bench.work()
    assert bench.screen == "ab", "the first a was pressed but not let go: not counted as typed"


def test_after_a_dropped_deletion_earlier_text_is_left_alone(bench: Bench) -> None:
    bench.put("one")
    bench.put(" two")
    bench.work()
    bench.sleep()
    bench.put(" three", delete=4)
    bench.work(seconds=10.5, read=False)
    bench.read()
    bench.put(" four", delete=6)
    bench.put(" five", delete=8)
    bench.work()
    assert bench.screen == "one two five"


def test_an_edit_that_finds_the_queue_full_is_refused_and_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue=2)
    bench.put("a")
    bench.put("b")
    with pytest.raises(OverflowError, match="2 edits wait"):
        bench.put("c")
    bench.work()
    assert bench.screen == "ab"
    assert bench.state(3) == "dropped"
    bench.put("d", delete=2)
    bench.work()
    assert bench.screen == "ad"


def test_patience_counts_from_the_trouble_not_from_a_long_queue(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rate=1.0, host_timeout_s=2.0)
    for _ in range(5):
        bench.put("abc")
    bench.work()
    assert bench.screen == "abc" * 5


def test_a_missing_device_says_what_to_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.unplug()
    bench.path.unlink()
    bench.put("a")
    bench.work(seconds=1.0)
    assert bench.troubles == [f"{bench.path}: missing; start dictate-keyboard.service"]
    os.mkfifo(bench.path)
    bench.plug_in()
    bench.work()
    assert bench.screen == "a"


class Lit(HidGadget):
    """A port whose computer has lit the Caps Lock LED, and says so once."""

    lit = True

    def caps_lock(self) -> bool:
        was, self.lit = self.lit, False
        return was


def test_caps_lock_is_switched_off_before_typing(tmp_path: Path) -> None:
    class Locking(Table):
        caps = True

        def press(self, usage: int, modifiers: int) -> str:
            if usage == 0x39:
                self.caps = not self.caps
                return ""
            text = super().press(usage, modifiers)
            return text.swapcase() if self.caps else text

    bench = Bench(tmp_path, reader=Locking("us"), port=Lit)
    bench.put("Hello")
    bench.put(", World", delete=2)
    bench.work()
    assert bench.screen == "Hel, World"


class Shut(HidGadget):
    """A gadget whose computer is gone: what a driver was seen to answer (shared/facts/virtual-pi.md, 6)."""

    def write(self, report: bytes) -> None:
        raise OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))


def test_eshutdown_is_waited_out_and_finishing_marks_the_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path, port=Shut, host_timeout_s=5.0)
    bench.put("a")
    bench.work(seconds=1.0)
    assert "no computer is connected" in str(bench.troubles[0])
    bench.put("b")
    bench.keyboard.finish()
    assert [bench.state(1), bench.state(2)] == ["dropped", "dropped"]
