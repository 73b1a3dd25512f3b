"""The feed of what happens: who reads it gets every event, who does not keep up is dropped, nobody is waited for."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from appliance_bench import Bench
from hypothesis import given
from hypothesis import strategies as st

from device.output.feed import READERS, Feed, FeedError, follow, parse


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    feed = Feed(tmp_path / "feed")
    yield feed
    feed.close()


def reader(tmp_path: Path, feed: Feed) -> Iterator[dict[str, Any]]:
    """A reader that the feed knows of: it has got the last state."""
    feed.publish("state", states=["ready"])
    events = follow(tmp_path / "feed")
    assert next(events) == {"event": "state", "states": ["ready"]}
    return events


def test_every_reader_gets_every_event_in_order(tmp_path: Path, feed: Feed) -> None:
    readers = [reader(tmp_path, feed) for _ in range(3)]
    for number in range(100):
        feed.publish("level", dbfs=-float(number))
    for events in readers:
        levels = (event for event in events if event["event"] == "level")
        assert [next(levels)["dbfs"] for _ in range(100)] == [-float(number) for number in range(100)]


def test_a_late_reader_learns_the_state_and_no_text(tmp_path: Path, feed: Feed) -> None:
    feed.publish("battery", watts=4.0)
    feed.publish("partial", stable="secret", tail="")
    feed.publish("state", states=["listening"])
    events = follow(tmp_path / "feed")
    assert [next(events)["event"] for _ in range(2)] == ["state", "battery"]
    feed.publish("level", dbfs=-1.0)
    assert next(events)["event"] == "level"


def test_a_reader_that_does_not_read_is_dropped_and_holds_up_nobody(tmp_path: Path, feed: Feed) -> None:
    with socket.socket(socket.AF_UNIX) as asleep:
        asleep.connect(str(tmp_path / "feed"))
        awake = reader(tmp_path, feed)
        text = "x" * 4_000
        for number in range(1_000):  # 4 MB: more than any socket holds
            feed.publish("partial", stable=text, tail=str(number))
            assert next(event for event in awake if event["event"] == "partial")["tail"] == str(number)
        data = b""
        while piece := asleep.recv(1 << 20):
            data += piece
    assert 0 < len(data) < 1_000 * len(text), "it was dropped"
    assert all(parse(line) for line in data.split(b"\n")[:-1]), "what it got before is whole"


def test_only_so_many_may_read(tmp_path: Path, feed: Feed) -> None:
    readers = [reader(tmp_path, feed) for _ in range(READERS)]
    assert list(follow(tmp_path / "feed")) == []
    assert len(readers) == READERS


def test_others_may_not_open_it_and_one_left_from_a_crash_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "feed"))
    feed = Feed(tmp_path / "feed")
    assert stat.S_IMODE((tmp_path / "feed").stat().st_mode) == 0o660
    feed.close()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_opened_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"feed: No such file or directory; no state feed, set feed\.socket"):
        Feed(tmp_path / "nowhere" / "feed")
    with pytest.raises(FeedError, match=r"is `dictate run` running"):
        next(follow(tmp_path / "feed"))


@given(st.binary(max_size=200))
def test_what_is_no_event_is_none(line: bytes) -> None:
    event = parse(line)
    assert event is None or isinstance(event["event"], str)


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False) | st.none()))
def test_an_event_is_one_line_that_parses_to_itself(values: dict[str, Any]) -> None:
    event = {**values, "event": "partial"}
    line = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert b"\n" not in line and parse(line) == event


def test_dictate_follow_prints_what_is_said(tmp_path: Path, sound_card: Any) -> None:
    import numpy as np

    sound_card(np.random.default_rng(3).integers(-9_000, 9_000, 160_000, dtype=np.int16), speed=4)
    bench = Bench(tmp_path)
    bench.configure(f'[feed]\nsocket = "{tmp_path}/feed"\n')
    try:
        bench.start()
        command = [sys.executable, "-m", "device.cli", "follow", "--socket", str(tmp_path / "feed")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            assert following.stdout.readline().startswith("# ready, 0 dictations")
            bench.dictate()
            assert bench.stop(signal.SIGTERM) == 0
            lines, told = following.communicate(timeout=60)
        assert [line[2:].lower() for line in lines.splitlines() if line.startswith("> ")] == bench.acknowledged()
        assert any(line.startswith("# listening") for line in lines.splitlines())
        assert following.returncode == 0 and "the appliance ended" in told
    finally:
        bench.close()
