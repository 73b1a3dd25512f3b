"""Microphone against real PortAudio and libasound, on a virtual sound card that can be unplugged."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.audio.decode import AudioError
from device.audio.microphone import Microphone, level
from device.audio.portaudio import GapDetector, StreamStatus, choose
from device.config.schema import AudioSettings

NOISE = np.random.default_rng(7).integers(-20_000, 20_000, 160_000, dtype=np.int16)
MIC = AudioSettings(device="virtual", retry_s=0.1)


@pytest.fixture
def statuses() -> list[StreamStatus]:
    return []


@pytest.fixture(autouse=True)
def no_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop every microphone after ten seconds: a missing one would be looked for for ever."""
    made: list[Microphone] = []
    begin = Microphone.__init__

    def remember(self: Microphone, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Microphone, "__init__", remember)
    timer = threading.Timer(10, lambda: [microphone.stop() for microphone in made])
    timer.start()
    yield
    timer.cancel()


def test_samples_arrive_unchanged(sound_card: Callable[..., Any], statuses: list[StreamStatus]) -> None:
    sound_card(NOISE, speed=10)
    chunks = list(islice(Microphone(MIC, statuses.append), 50))
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), NOISE[:80_000])
    assert chunks[-1].overruns == 0
    assert statuses == [StreamStatus("Virtual mic", rate=16_000, channels=1)]


@pytest.mark.parametrize("voice", [0, 1, 5])
def test_a_voice_on_any_channel_is_heard(
    sound_card: Callable[..., Any], statuses: list[StreamStatus], voice: int
) -> None:
    channels = np.zeros((len(NOISE), max(2, voice + 1)), np.int16)
    channels[:, voice] = NOISE
    channels[:, voice - 1] = 9_000  # an offset is no sound
    sound_card(channels, speed=4)
    chunks = list(islice(Microphone(MIC, statuses.append), 20))
    assert statuses == [StreamStatus("Virtual mic", rate=16_000, channels=channels.shape[1])]
    heard = np.concatenate([chunk.samples for chunk in chunks]).astype(float)
    assert np.abs(np.diff(heard) - np.diff(NOISE[: len(heard)].astype(float)))[1_000:].max() < 200


@pytest.mark.parametrize("block_ms", [10, 32, 100])
def test_blocks_are_as_long_as_configured(sound_card: Callable[..., Any], block_ms: int) -> None:
    sound_card(NOISE, speed=4)
    settings = AudioSettings(device="virtual", block_ms=block_ms)
    chunks = list(islice(Microphone(settings, print), 20))
    assert {len(chunk.samples) for chunk in chunks} == {16 * block_ms}
    assert [chunk.first for chunk in chunks] == [16 * block_ms * i for i in range(20)]


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_another_rate_is_resampled_and_said(
    sound_card: Callable[..., Any], statuses: list[StreamStatus], rate: int
) -> None:
    wave = 16_000 * np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate)
    sound_card(wave, rate=rate, speed=10)
    heard = np.concatenate([chunk.samples for chunk in islice(Microphone(MIC, statuses.append), 20)])
    assert statuses[0].resampled and "resampled" in str(statuses[0])
    middle = heard[8_000:24_000]
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert np.abs(middle).max() == pytest.approx(16_000, rel=0.01)


def test_unplugged_and_plugged_in_again(sound_card: Callable[..., Any], statuses: list[StreamStatus]) -> None:
    card = sound_card(NOISE, speed=2)
    chunks = iter(Microphone(MIC, statuses.append))
    before = [next(chunks) for _ in range(5)]
    card.unplug()
    back = threading.Timer(1.0, card.plug_in)
    back.start()
    after = next(chunk for chunk in chunks if len(statuses) > 2)
    back.join()
    first, *lost, last = statuses
    assert not first.lost and not last.lost
    assert lost and all("plug it in" in status.lost for status in lost)
    assert after.first > before[-1].first, "the sample count goes on"
    np.testing.assert_array_equal(after.samples, NOISE[:1_600])


def test_a_missing_microphone_names_what_is_there(sound_card: Callable[..., Any], statuses: list[StreamStatus]) -> None:
    sound_card(NOISE)

    def tell(status: StreamStatus) -> None:
        statuses.append(status)
        threading.Timer(0.5, microphone.stop).start()

    microphone = Microphone(AudioSettings(device="Yeti", retry_s=0.1), tell)
    assert list(microphone) == []
    assert len(statuses) == 1, "said once, not at every try"
    assert "Yeti: not found" in statuses[0].lost and "Virtual mic" in statuses[0].lost


def test_stop_ends_the_iteration(sound_card: Callable[..., Any]) -> None:
    sound_card(NOISE)
    microphone = Microphone(MIC, print)
    chunks = iter(microphone)
    next(chunks)
    threading.Timer(0.3, microphone.stop).start()
    list(chunks)


def test_the_microphone_is_closed_when_nobody_listens(sound_card: Callable[..., Any]) -> None:
    sound_card(NOISE)
    microphone = Microphone(MIC, print)
    for _ in range(2):
        chunks = iter(microphone)
        np.testing.assert_array_equal(next(chunks).samples, NOISE[:1_600])
        chunks.close()


def test_lost_sound_is_counted(sound_card: Callable[..., Any]) -> None:
    card = sound_card(NOISE)
    seen = []
    for chunk in Microphone(MIC, print):
        if chunk.first == 24_000:
            card.overrun()
        seen.append(chunk.overruns)
        if chunk.overruns or chunk.first > 100_000:
            break
    assert seen[:15] == [0] * 15
    assert seen[-1] == 1


def test_the_capture_thread_is_not_the_reader(sound_card: Callable[..., Any]) -> None:
    sound_card(NOISE, speed=4)
    threads: list[int] = []
    list(islice(Microphone(MIC, print, on_capture_thread=lambda: threads.append(threading.get_ident())), 3))
    assert len(threads) == 1 and threads[0] != threading.get_ident()


DEVICES = [{"name": name} for name in ("Webcam: USB Audio (hw:2,0)", "Headset: USB Audio (hw:3,0)", "default")]


def test_the_microphone_is_found_by_usb_id(tmp_path: Path) -> None:
    for card, usb in {"card2": "046d:0825", "card3": "0d8c:0014"}.items():
        (tmp_path / card).mkdir()
        (tmp_path / card / "usbid").write_text(f"{usb}\n")
    assert choose(DEVICES, "0D8C:0014", tmp_path) == DEVICES[1]
    with pytest.raises(AudioError, match="dead:beef: not found"):
        choose(DEVICES, "dead:beef", tmp_path)


def test_any_microphone_is_the_first(tmp_path: Path) -> None:
    assert choose(DEVICES, "", tmp_path) == DEVICES[0]
    with pytest.raises(AudioError, match="one of: none"):
        choose([], "", tmp_path)


def test_the_default_comes_before_other_plugins(sound_card: Callable[..., Any], statuses: list[StreamStatus]) -> None:
    sound_card(NOISE)
    next(iter(Microphone(AudioSettings(), statuses.append)))
    assert statuses[0].name == "default"


@given(seed=st.integers(0, 2**32 - 1), drift=st.floats(-200e-6, 200e-6), loss=st.floats(0.1, 5.0))
def test_a_gap_is_told_from_jitter_and_drift(seed: int, drift: float, loss: float) -> None:
    late = np.random.default_rng(seed).uniform(0, 0.1, 120)
    late[::5] = 0
    late[60:] += loss
    sound = 0.1 * np.arange(120)
    arrivals = np.maximum.accumulate(sound * (1 + drift) + late)
    gaps = GapDetector(tolerance=0.05)
    told = np.array([gaps.late(*moment) for moment in zip(arrivals, sound, strict=True)])
    assert not told[:60].any()
    assert 1 <= told.sum() <= 2, "a loss within a window may show in this window and in the next"


def test_opening_it_is_quiet(sound_card: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    sound_card(NOISE)
    next(iter(Microphone(MIC, lambda status: None)))
    os.write(2, b"still heard")
    assert capfd.readouterr().err == "still heard"


def test_level_is_rms_below_full_scale() -> None:
    assert level(np.zeros(0, np.int16)) == -120
    assert level(np.full(1_000, -32_768, np.int16)) == pytest.approx(0, abs=1e-3)
