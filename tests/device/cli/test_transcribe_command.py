"""`dictate transcribe` as it is installed: faults of files, what is printed where, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from device.asr.results import Segment
from device.bench.speech import TESTDATA
from device.cli.transcribe import Heard, Printer
from device.text.formatter import Rules

DICTATE = Path(sys.executable).with_name("dictate")
CLIP = TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav"
SAID = "He might even have been made amiable himself."
STREAMED = "he might even have been made amiable himself"


@pytest.fixture(autouse=True)
def both(bundle: Path, second_bundle: Path) -> None:
    """The second pass is beside the bundle."""
    assert second_bundle.parent == bundle.parent


def transcribe(bundle: Path, *arguments: str | Path, **streams: int) -> subprocess.CompletedProcess[str]:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [DICTATE, "transcribe", *arguments],
        text=True,
        errors="surrogateescape",
        env=os.environ | {"DICTATE_BUNDLE": str(bundle)},
        **streams,
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The clip as FLAC, cut at 60 %."""
    sound, rate = soundfile.read(CLIP)
    path = tmp_path / "broken.flac"
    soundfile.write(path, sound, rate)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    return path


def test_an_ordinary_run_says_nothing_but_the_text(bundle: Path) -> None:
    done = transcribe(bundle, CLIP)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SAID}\n", "")


def test_a_mode_of_one_pass_and_one_of_whole_utterances(bundle: Path) -> None:
    for mode, said in (("streaming", STREAMED), ("accurate", SAID)):
        done = transcribe(bundle, "--mode", mode, CLIP)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{said}\n", "")


def test_without_a_second_bundle_the_text_is_that_of_the_first_pass_and_a_line_says_so(
    bundle: Path, tmp_path: Path
) -> None:
    done = transcribe(bundle, "--second-pass", tmp_path / "none", CLIP)
    assert (done.returncode, done.stdout) == (0, f"{STREAMED}\n")
    assert done.stderr.startswith("dictate transcribe: the second pass is left out") and done.stderr.count("\n") == 1


def test_a_broken_file_gives_what_it_has_and_stops_no_other(bundle: Path, broken: Path, tmp_path: Path) -> None:
    done = transcribe(bundle, broken, tmp_path / "none.wav", CLIP)
    assert done.returncode == 1
    first, cut, *more, last = done.stdout.splitlines()
    assert first == f"==> {broken} <==" and SAID.startswith(cut[:10]) and last == SAID
    assert more[-4:] == ["", f"==> {tmp_path}/none.wav <==", "", f"==> {CLIP} <=="]
    said = done.stderr.splitlines()
    assert re.fullmatch(rf"dictate transcribe: {broken}: breaks off at \d\.\d s of \d\.\d s: .+", said[0])
    assert said[1:] == [f"dictate transcribe: {tmp_path}/none.wav: no such file; check the path"]


def test_json_has_every_file_and_what_was_wrong(bundle: Path, broken: Path, tmp_path: Path) -> None:
    done = transcribe(bundle, "--json", broken, tmp_path / "none.wav", CLIP)
    assert done.returncode == 1
    cut, none, whole = map(json.loads, done.stdout.splitlines())
    assert cut["text"] and "breaks off at" in cut["error"] and 1 < cut["seconds"] < whole["seconds"]
    assert (none["text"], none["segments"], none["seconds"]) == ("", [], 0) and "no such file" in none["error"]
    assert (whole["text"], whole["error"]) == (SAID, None)


def test_a_voice_on_the_right_alone_is_heard(bundle: Path, tmp_path: Path) -> None:
    sound, rate = soundfile.read(CLIP)
    files = []
    for name, left in {"silent": 0 * sound, "offset": 0 * sound + 0.4, "opposite": -sound}.items():
        files.append(tmp_path / f"{name}.wav")
        soundfile.write(files[-1], np.stack([left, sound], axis=1), rate)
    done = transcribe(bundle, *files)
    assert done.stdout == "\n".join(f"==> {file} <==\n{SAID}\n" for file in files)


def test_a_name_that_is_not_utf_8_is_given_back_as_it_is(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_bytes(CLIP.read_bytes())
    done = transcribe(bundle, "--json", path)
    assert done.returncode == 0 and json.loads(done.stdout)["file"] == str(path)
    gone = transcribe(bundle, tmp_path / os.fsdecode(b"gone\xe9.wav"))
    assert gone.returncode == 1 and os.fsencode(gone.stderr).startswith(b"dictate transcribe: ")
    assert b"gone\xe9.wav: no such file" in os.fsencode(gone.stderr)


def test_a_full_standard_output_is_one_line(bundle: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = transcribe(bundle, CLIP, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr == "dictate transcribe: standard output: No space left on device\n"


def test_a_coral_that_is_asked_for_and_not_there_is_said(bundle: Path) -> None:
    done = transcribe(bundle, "--backend", "coral", CLIP)
    assert (done.returncode, done.stdout) == (0, f"{SAID}\n")
    assert done.stderr.startswith("dictate transcribe: --backend coral: the encoder runs on the CPU")
    assert done.stderr.count("\n") == 1


def test_partials_have_no_escape_codes_where_nobody_overwrites(bundle: Path) -> None:
    for options in (["--partials"], ["--partials", "--json"]):
        done = transcribe(bundle, *options, CLIP)
        assert done.returncode == 0 and "himself" in done.stdout
        assert "\x1b" not in done.stderr and "\r" not in done.stderr
        assert STREAMED.startswith(done.stderr.splitlines()[0].split(" | ")[0])


def on_a_terminal(bundle: Path, columns: int, *options: str, clip: Path = CLIP) -> str:
    """What a terminal of so many columns is sent on standard error."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"DICTATE_BUNDLE": str(bundle), "COLUMNS": str(columns)}
    command = [DICTATE, "transcribe", *options, str(clip)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environ) as run:
        os.close(theirs)
        sent = b""
        while True:
            try:
                sent += (more := os.read(ours, 65_536))
            except OSError:
                break
            if not more:
                break
        assert run.wait() == 0
    os.close(ours)
    return sent.decode()


def test_partials_fit_the_terminal(bundle: Path) -> None:
    sent = on_a_terminal(bundle, 30, "--partials")
    lines = sent.replace("\x1b[K", "").split("\r")
    assert any("|" in line for line in lines) and max(map(len, lines)) < 30
    assert "\n" not in sent
    assert "\x1b" not in on_a_terminal(bundle, 30, "--partials", "--json")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """The clip, nineteen seconds of quiet, the clip again."""
    sound, rate = soundfile.read(CLIP, dtype="int16")
    quiet = np.random.default_rng(2).normal(0, 4, 19 * rate).astype(np.int16)
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([sound, quiet, sound]), rate)
    return path


def test_a_long_recording_shows_its_progress_on_a_terminal_alone(bundle: Path, talk: Path) -> None:
    sent = on_a_terminal(bundle, 200, clip=talk)
    assert re.search(rf"{talk}: 0:1\d of 0:2\d,  \d\d%", sent)
    assert sent.endswith("\r\x1b[K") and "\n" not in sent
    assert not on_a_terminal(bundle, 200), "a short recording needs none"
    assert transcribe(bundle, talk).stderr == ""


def test_text_is_written_as_dictation_writes_it(bundle: Path, talk: Path) -> None:
    done = transcribe(bundle, "--format", "text", talk)
    sentence = f"{SAID[0].upper()}{SAID[1:]}"
    assert (done.returncode, done.stdout) == (0, f"{sentence}\n{sentence}\n")


def test_words_have_their_times_in_json_and_subtitles(bundle: Path, talk: Path, tmp_path: Path) -> None:
    (line,) = transcribe(bundle, "--format", "json", talk).stdout.splitlines()
    segments = json.loads(line)["segments"]
    assert [segment["text"] for segment in segments] == [SAID, SAID]
    for segment in segments:
        assert [word["word"] for word in segment["words"]] == SAID.split()
        edges = [edge for word in segment["words"] for edge in (word["start"], word["end"])]
        assert edges == sorted(edges) and segment["start"] <= edges[0] and edges[-1] <= segment["end"]
    subtitles = transcribe(bundle, "--format", "srt", talk).stdout
    cue = r"00:00:0\d,\d{3} --> 00:00:0[23],\d{3}\nHe might even have been\nmade amiable himself\."
    assert re.match(rf"1\n{cue}\n\n2\n", subtitles), subtitles
    assert transcribe(bundle, talk, "--output", tmp_path / "talk.vtt").stdout == ""
    assert (tmp_path / "talk.vtt").read_text().startswith("WEBVTT\n\n00:00:00.")


def test_a_folder_is_written_to_a_folder(bundle: Path, broken: Path, tmp_path: Path) -> None:
    recordings, out = tmp_path / "recordings", tmp_path / "texts"
    (recordings / "more").mkdir(parents=True)
    (recordings / "a.WAV").write_bytes(CLIP.read_bytes())
    (recordings / "more" / "b.wav").write_bytes(CLIP.read_bytes())
    (recordings / "bad.flac").write_bytes(b"no recording")
    (recordings / "notes.txt").write_text("not sound")
    done = transcribe(bundle, recordings, broken, tmp_path / "no.wav", "--output", out, "--format", "plain")
    assert done.returncode == 1 and done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == 3 and "bad.flac: not a recording" in said[0]
    assert "broken.flac: breaks off" in said[1] and "no.wav: no such file" in said[2]
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert found == ["a.txt", "broken.txt", "more/b.txt"]
    assert (out / "more" / "b.txt").read_text() == f"{SAID}\n"


def test_recordings_of_one_name_do_not_overwrite_each_other(bundle: Path, tmp_path: Path) -> None:
    for name in ("x.wav", "x.wave"):
        (tmp_path / name).write_bytes(CLIP.read_bytes())
    done = transcribe(bundle, tmp_path / "x.wav", tmp_path / "x.wave", "--output", tmp_path / "out", "--format", "srt")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.wav.srt", "x.wave.srt"]
    done = transcribe(bundle, tmp_path / "x.wav", tmp_path / "x.wav", "--output", tmp_path / "out")
    assert done.returncode == 2 and "two recordings would be written to x.wav.txt" in done.stderr


def test_standard_input_is_a_recording_of_any_kind(bundle: Path, tmp_path: Path) -> None:
    sound, rate = soundfile.read(CLIP)
    soundfile.write(tmp_path / "x.flac", sound, rate)
    with subprocess.Popen(["cat", tmp_path / "x.flac"], stdout=subprocess.PIPE) as pipe:
        assert pipe.stdout is not None
        done = transcribe(bundle, "-", stdin=pipe.stdout.fileno())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SAID}\n", "")
    done = transcribe(bundle, "-")
    assert done.returncode == 1 and done.stderr.startswith("dictate transcribe: standard input: not a recording")


def test_what_cannot_be_written_is_said_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for wrong, status in ((["--output", tmp_path / "file", CLIP, CLIP], 2), (["--format", "srt", CLIP, CLIP], 2)):
        done = transcribe(bundle, *wrong)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    (tmp_path / "taken.txt").mkdir()
    (tmp_path / "taken.txt" / "full").mkdir()
    done = transcribe(bundle, CLIP, "--output", "/proc/none/x.txt")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("format", "punctuated", "printed"),
    [
        (None, (False, False), "five people\nHe left.\n"),
        (None, (False, True), "five people\nHe left.\n"),
        (None, (True, False), "Five people He left.\n"),
        ("plain", (True, True), "five people\nHe left.\n"),
        ("text", (False, False), "Five people He left.\n"),
    ],
)
def test_the_first_segment_decides_how_all_are_printed(
    format: str | None, punctuated: tuple[bool, bool], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recogniser may punctuate some segments and not others; none of them may get lost."""
    segments = [Segment("five people", 0.0, 1.0, punctuated=punctuated[0])]
    segments.append(Segment("He left.", 1.5, 2.0, punctuated=punctuated[1]))
    printer = Printer(format, Rules(), headings=False, clear=lambda: None)
    printer.begin("x", first=True)
    for segment in segments:
        printer.segment(segment)
    printer.end(Heard("x", segments, 2.0, 0.1, "cpu", None))
    assert capsys.readouterr().out == printed
