"""Every posterior is asked for once, in order, and each window hears what it should."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from device.asr.windowing import Windows
from models.bundle import Window

SILENCE = -16.0


@st.composite
def layouts(draw: st.DrawFn) -> Window:
    stride = draw(st.sampled_from([1, 2, 4]))
    hop, right = draw(st.integers(1, 8)) * stride, draw(st.integers(0, 8)) * stride
    frames = hop + right + draw(st.integers(0, 8)) * stride
    return Window(frames, stride, hop, right, draw(st.integers(1, 9)) * stride, draw(st.integers(0, 4)) * stride)


@given(layouts(), st.lists(st.integers(0, 40), max_size=12))
def test_windows_cover_the_signal_once(window: Window, chunks: list[int]) -> None:
    total = sum(chunks)
    signal = np.arange(total, dtype=np.float32)[:, None]
    windows, calls, begin = Windows(window, mels=1, silence=SILENCE), [], 0
    for size in chunks:
        calls += windows.push(signal[begin : begin + size])
        begin += size
    calls += windows.finish()
    asked = 0
    for call in calls:
        assert call.mel.shape == (window.frames, 1)
        assert call.committed.stop == call.lookahead.start <= call.lookahead.stop <= window.frames // window.stride
        kept = call.committed.stop - call.committed.start
        for position in range(call.committed.start, call.committed.stop):
            frame = asked * window.stride
            heard = call.mel[position * window.stride, 0]
            assert heard == (frame if frame < total else SILENCE)
            asked += 1
        assert kept <= window.hop // window.stride
        newest = call.mel[call.committed.stop * window.stride + window.right - 1, 0]
        end = asked * window.stride + window.right
        assert newest == (end - 1 if end <= total else SILENCE)
    assert asked == -(-total // window.stride)


@given(layouts(), st.integers(1, 60))
def test_an_utterance_leaves_nothing_behind(window: Window, length: int) -> None:
    windows = Windows(window, mels=1, silence=SILENCE)
    signal = np.arange(length, dtype=np.float32)[:, None]
    first = windows.push(signal) + windows.finish()
    second = windows.push(signal) + windows.finish()
    assert [c.committed for c in first] == [c.committed for c in second]
    assert all((a.mel == b.mel).all() for a, b in zip(first, second, strict=True))


@given(layouts(), st.lists(st.integers(0, 40), max_size=12))
def test_looking_ahead_changes_nothing_of_what_is_kept(window: Window, chunks: list[int]) -> None:
    signal = np.arange(sum(chunks), dtype=np.float32)[:, None]
    files, live = (Windows(window, mels=1, silence=SILENCE, live=live) for live in (False, True))
    kept: list[list[tuple[slice, bytes]]] = [[], []]
    heard = 0
    for size in chunks:
        frames, heard = signal[heard : heard + size], heard + size
        for out, calls in zip(kept, (files.push(frames), live.push(frames)), strict=True):
            out += [
                (call.committed, call.mel.tobytes()) for call in calls if call.committed.stop > call.committed.start
            ]
    for out, windows in zip(kept, (files, live), strict=True):
        out += [(call.committed, call.mel.tobytes()) for call in windows.finish()]
    assert kept[0] == kept[1]


@given(layouts(), st.lists(st.integers(1, 40), max_size=12))
def test_a_look_covers_all_that_is_not_kept_but_the_newest(window: Window, chunks: list[int]) -> None:
    windows, heard, kept, looked = Windows(window, mels=1, silence=SILENCE, live=True), 0, 0, 0
    for size in chunks:
        signal = np.arange(heard, heard + size, dtype=np.float32)[:, None]
        heard += size
        for call in windows.push(signal):
            kept += (call.committed.stop - call.committed.start) * window.stride
            seen = [call.mel[i * window.stride, 0] for i in range(call.lookahead.start, call.lookahead.stop)]
            assert seen == [kept + i * window.stride for i in range(len(seen))]
            looked = int(call.mel[-1, 0]) + 1
            assert looked - (kept + len(seen) * window.stride) <= window.live_right
        assert heard - looked < max(window.live_hop, window.live_right) + window.stride
