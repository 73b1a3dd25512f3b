"""Every way in which a recording can end: as it should, cut short, damaged, without a length, without sound."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from device.audio.decode import AudioError
from device.audio.file import WaveFile
from device.audio.recording import extent, ogg_ends

RATE, SECONDS = 16_000, 4.0
SOUND = np.random.default_rng(0).normal(0, 0.1, round(RATE * SECONDS)).astype(np.float32)
KINDS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "rifx.wav": ("WAV", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_24"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus.ogg": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def written(folder: Path, kind: str, sound: np.ndarray = SOUND) -> Path:
    form, subtype = KINDS[kind]
    path = folder / f"sound.{kind}"
    endian = "BIG" if kind.startswith("rifx") else "FILE"
    soundfile.write(path, sound, RATE, subtype=subtype, format=form, endian=endian)
    return path


def heard(path: Path) -> tuple[float, str]:
    """Seconds that could be read, and what was said about the end."""
    samples = 0
    try:
        for chunk in WaveFile(path):
            samples += len(chunk.samples)
    except AudioError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return samples / RATE, str(error).removeprefix(f"{path}: ")
    return samples / RATE, ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_one_is_read_without_a_word(tmp_path: Path, kind: str) -> None:
    seconds, said = heard(written(tmp_path, kind))
    assert said == "" and seconds == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("share", [0.6, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_cut_is_read_as_far_as_it_goes(tmp_path: Path, kind: str, share: float) -> None:
    path = written(tmp_path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    seconds, said = heard(path)
    slack = 1.3 if "ogg" in kind else 0.35  # an Ogg page is a second
    assert share * SECONDS - slack < seconds <= share * SECONDS + 0.1
    assert "cut short" in said or "breaks off" in said
    assert f"{seconds:.1f} s" in said


@pytest.mark.parametrize("kind", ["wav", "float.wav", "rifx.wav", "rf64", "w64", "aiff", "au", "flac"])
def test_one_that_is_cut_says_how_long_it_should_be(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    assert f"of {SECONDS:.1f} s" in heard(path)[1]


@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg"])
def test_one_that_is_damaged_within_is_said(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3_000] = np.random.default_rng(1).bytes(3_000)
    path.write_bytes(data)
    seconds, said = heard(path)
    assert said and seconds > 1.0


def with_length(path: Path, length: int, then: bytes = b"") -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack(">I" if data.startswith(b"RIFX") else "<I", length)
    path.write_bytes(bytes(data) + then)
    return path


@pytest.mark.parametrize("kind", ["wav", "float.wav", "rifx.wav"])
@pytest.mark.parametrize("length", [0, 3_200])
def test_a_length_that_was_never_written_hides_no_sound(tmp_path: Path, kind: str, length: int) -> None:
    path = with_length(written(tmp_path, kind), length)
    seconds, said = heard(path)
    assert seconds == SECONDS and "wrong length" in said


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0x7FFF_F000])
def test_a_length_that_stands_for_unknown_is_no_fault(tmp_path: Path, length: int) -> None:
    assert heard(with_length(written(tmp_path, "wav"), length)) == (SECONDS, "")


def test_a_length_of_0_that_is_true_is_no_sound(tmp_path: Path) -> None:
    empty = written(tmp_path, "wav", SOUND[:0])
    for then in (b"", b"LIST\4\0\0\0INFO", b"LIST\3\0\0\0abc\0", b"LIST\3\0\0\0abc"):
        seconds, said = heard(with_length(empty, 0, then))
        assert seconds == 0 and "holds no sound" in said


def test_what_follows_the_sound_is_not_heard(tmp_path: Path) -> None:
    path = written(tmp_path, "wav", SOUND[:1_600])
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 30_000) + bytes(30_000))
    assert heard(path) == (0.1, "")


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff", "au", "flac"])
def test_a_header_alone_is_no_sound(tmp_path: Path, kind: str) -> None:
    seconds, said = heard(written(tmp_path, kind, SOUND[:0]))
    assert seconds == 0 and said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sound.raw", SOUND.tobytes(), "ffmpeg"),
        ("sound.wav", b"", "ffmpeg"),
        ("sound.wav", b"RIFF\0\0\0\0WAVEjunk", "ffmpeg"),
        ("sound.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0", "ffmpeg"),
        (os.fsdecode(b"caf\xe9.wav"), b"<html>", "ffmpeg"),
    ],
)
def test_what_is_no_recording_is_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    seconds, why = heard(tmp_path / name)
    assert seconds == 0 and said in why


def test_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "wav")
    assert heard(path.rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))) == (SECONDS, "")


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    assert "is a folder" in heard(tmp_path)[1]
    assert "no such file" in heard(tmp_path / "none.wav")[1]
    assert heard(tmp_path / "none.wav" / "none.wav")[1]


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    data = written(tmp_path, "wav").read_bytes()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.write(writer, data[:60_000])
        os.write(writer, data[60_000:])
        os._exit(0)
    os.close(writer)
    try:
        assert heard(Path(f"/dev/fd/{reader}"))[0] == SECONDS
    finally:
        os.close(reader)
        os.wait()


FFMPEG = f"""#!{sys.executable}
import sys
*_, name = [sys.argv[i + 1] for i, a in enumerate(sys.argv) if a == "-i"]
assert sys.argv[-1] == "pipe:1" and sys.argv[sys.argv.index("-protocol_whitelist") + 1] == "file,pipe"
kind, data = open(name.removeprefix("file:"), "rb").read().split(b"|", 1)
sys.stdout.buffer.write(data)
if kind == b"broken":
    sys.exit("File ended prematurely")
if kind == b"none":
    sys.exit("Invalid data found when processing input")
if kind == b"killed":
    sys.exit(3)
"""


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name which gives what lies in the file after the bar; what it is told is checked."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(FFMPEG)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))


@pytest.mark.parametrize(
    ("kind", "seconds", "said"),
    [
        (b"whole", SECONDS, ""),
        (b"broken", SECONDS, "breaks off at 4.0 s: File ended prematurely"),
        (b"killed", SECONDS, "breaks off at 4.0 s: ffmpeg ended with status 3"),
    ],
)
def test_what_ffmpeg_reads_is_heard(tmp_path: Path, ffmpeg: None, kind: bytes, seconds: float, said: str) -> None:
    data = with_length(written(tmp_path, "wav"), 0xFFFF_FFFF).read_bytes()
    (tmp_path / "talk.m4a").write_bytes(kind + b"|" + data)
    assert heard(tmp_path / "talk.m4a") == (seconds, said)


def test_what_ffmpeg_does_not_read_either_says_both(tmp_path: Path, ffmpeg: None) -> None:
    (tmp_path / "talk.m4a").write_bytes(b"none|")
    seconds, said = heard(tmp_path / "talk.m4a")
    assert seconds == 0 and "libsndfile (" in said and "ffmpeg (Invalid data" in said


def test_without_ffmpeg_the_line_to_convert_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "talk.m4a").write_bytes(b"x")
    assert "ffmpeg -i talk.m4a talk.flac" in heard(tmp_path / "talk.m4a")[1]


@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b".snd", b"riff"]),
)
def test_any_header_is_looked_at_and_none_breaks_it(data: bytes, start: bytes) -> None:
    found = extent(io.BytesIO(start + data))
    assert found is None or found.there >= 0
    assert ogg_ends(io.BytesIO(data)) in (True, False)
