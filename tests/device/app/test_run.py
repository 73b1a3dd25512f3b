"""`dictate run` as a process: real PortAudio, journal, keyboard, panel logic and signals; the words are scripted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from appliance_bench import CHILD, Bench

NOISE = np.random.default_rng(3).integers(-9_000, 9_000, 160_000, dtype=np.int16)


@pytest.fixture
def card(sound_card: Callable[..., Any]) -> Any:
    return sound_card(NOISE, speed=4)


@pytest.fixture
def bench(tmp_path: Path, card: Any) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_what_is_said_is_journalled_typed_and_told(bench: Bench) -> None:
    bench.start()
    bench.dictate()
    bench.dictate()
    words = bench.acknowledged()
    assert len(words) == 4
    bench.manager.wait(lambda: bench.computer.screen.split() == words)
    assert bench.stop(signal.SIGTERM) == 0
    assert [entry.text.strip().lower() for entry in bench.entries()] == words
    assert {entry.state for entry in bench.entries()} == {"typed"}
    assert "2 dictations, 4 words" in bench.manager.status


def test_sigterm_in_the_middle_of_a_sentence_writes_it(bench: Bench) -> None:
    bench.start()
    bench.button(True)
    bench.manager.wait(lambda: len(bench.acknowledged()) == 1)
    assert bench.stop(signal.SIGTERM) == 0
    words = bench.acknowledged()
    assert len(words) == 2
    assert [entry.text.strip().lower() for entry in bench.entries()] == words
    bench.manager.wait(lambda: bench.computer.screen.split() == words)


def test_after_a_kill_nothing_is_typed_twice(bench: Bench) -> None:
    bench.start()
    bench.dictate()
    bench.manager.wait(lambda: bench.computer.screen.split() == bench.acknowledged())
    bench.stop(signal.SIGKILL)
    bench.start()
    bench.dictate()
    words = bench.acknowledged()
    bench.manager.wait(lambda: bench.computer.screen.replace(" ", "") == "".join(words))
    assert len(set(words)) == 4


def test_a_microphone_that_is_unplugged_comes_back(bench: Bench, card: Any) -> None:
    bench.start()
    card.unplug()
    bench.manager.wait(lambda: "plug it in" in bench.manager.status)
    bench.button(True)
    time.sleep(0.4)
    bench.button(False)
    card.plug_in()
    bench.manager.wait(lambda: "plug it in" not in bench.manager.status)
    assert bench.acknowledged() == []
    bench.dictate()
    assert len(bench.acknowledged()) == 2


def test_the_loss_of_the_coral_is_told(bench: Bench) -> None:
    bench.start()
    (bench.folder / "coral-lost").touch()
    bench.dictate()
    bench.manager.wait(lambda: "no Coral" in bench.manager.status)


def test_a_reload_takes_a_good_configuration(bench: Bench) -> None:
    bench.start()
    bench.dictate()
    bench.configure('[text]\npunctuation = "off"\n[panel.leds]\nkind = "rgb"\n')
    ready = bench.manager.ready
    assert bench.child is not None
    bench.child.send_signal(signal.SIGHUP)
    bench.manager.wait(lambda: bench.manager.ready > ready)
    time.sleep(0.2)
    bench.dictate()
    bench.manager.wait(lambda: bench.computer.screen.split() == bench.acknowledged())


def test_a_reload_refuses_a_bad_configuration(bench: Bench) -> None:
    bench.start()
    bench.configure("[text]\npunctation = 'auto'\n")
    ready = bench.manager.ready
    assert bench.child is not None
    bench.child.send_signal(signal.SIGHUP)
    bench.manager.wait(lambda: bench.manager.ready > ready)
    assert "nearest: text.punctuation" in bench.told() and "stays in force" in bench.told()
    bench.dictate()
    assert len(bench.acknowledged()) == 2


def test_a_new_word_of_the_user_is_noticed(bench: Bench) -> None:
    bench.start()
    (bench.folder / "words.tsv").write_text("Kowalczyk\n")
    bench.manager.wait(lambda: "1 words of your own" in bench.told())
    bench.dictate()
    assert len(bench.acknowledged()) == 2


def test_a_hang_stops_the_pings(bench: Bench) -> None:
    bench.start()
    before = bench.manager.pings
    bench.manager.wait(lambda: bench.manager.pings > before + 1)
    (bench.folder / "hang").touch()
    bench.button(True)
    time.sleep(1.5)
    bench.manager.listen()
    before = bench.manager.pings
    time.sleep(2.5)
    bench.manager.listen()
    assert bench.manager.pings == before


def test_a_failing_recogniser_leaves_the_appliance_up(bench: Bench) -> None:
    bench.start()
    (bench.folder / "broken").touch()
    bench.button(True)
    bench.manager.wait(lambda: bench.manager.status.startswith("fault"))
    bench.button(False)
    (bench.folder / "broken").unlink()
    time.sleep(0.1)
    bench.dictate()
    bench.manager.wait(lambda: bench.manager.status.startswith("ready"))
    assert len(bench.acknowledged()) == 2


def test_a_long_press_in_silence_asks_to_switch_off(bench: Bench) -> None:
    bench.file.write_text(bench.file.read_text().replace('"mock"', '"mock"\nshutdown_press_s = 2'))
    bench.start()
    (bench.folder / "silent").touch()
    bench.button(True)
    time.sleep(4)
    bench.button(False)
    assert bench.child is not None
    assert bench.child.wait(10) == 79


def test_a_second_appliance_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.start()
    command = [sys.executable, str(CHILD), str(bench.file), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, input="")
    assert result.returncode == 1
    assert "in use by another dictate" in result.stderr
    bench.dictate()
    assert len(bench.acknowledged()) == 2
