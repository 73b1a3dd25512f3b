"""`dictate bench` as it is installed: a short run from speech to report, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from device import cli
from device.bench import record
from device.bench.speech import TESTDATA
from device.cli import bench
from device.config import schema
from models.bundle import Bundle

DICTATE = Path(sys.executable).with_name("dictate")
CLIP, SAID = "sense_and_sensibility_01_austen_64kb-0880.wav", "he was not an ill disposed young man"


def dictate(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DICTATE, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    shutil.copy(TESTDATA / CLIP, folder)
    (folder / "transcripts.tsv").write_text(f"{CLIP}\t{SAID}\n")
    return folder


@pytest.fixture(scope="module")
def made(bundle: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a report, and what the command printed."""
    out = tmp_path_factory.mktemp("report") / "deep" / "down"
    answer = dictate(
        "bench",
        "--speech",
        speech,
        "--bundle",
        bundle,
        "--configs",
        "tflite-int8,onnx-fp32,coral,trt",
        "--comparison",
        out / "none",
        "--sweeps",
        "capture",
        "--seconds",
        "1",
        "--repetitions",
        "2",
        "--report",
        out,
    )
    assert answer.returncode == 0, answer.stderr
    return out, answer.stdout


def test_a_run_measures_and_reports(made: tuple[Path, str]) -> None:
    out, printed = made
    report = record.load(out / "bench.json")
    assert sorted(path.name for path in out.iterdir()) == ["bench.html", "bench.json", "bench.md", "summary.svg"]
    assert sorted((m.case, m.repetition) for m in report.measurements) == sorted(
        (case, repetition) for case in ("tflite-int8", "capture 16 kHz", "capture 48 kHz") for repetition in (1, 2)
    )
    ours = report.of("tflite-int8")[0]
    assert ours.paced and len(ours.paced.utterances[0].late) == 10  # a second of speech, 100 ms at a time
    assert ours.paced.wall_s >= 1.0 and ours.paced.cpu_s > 0
    assert ours.fast.seconds == pytest.approx(report.speech.seconds) and report.speech.seconds > 1.0
    assert ours.peak_bytes > 1_000_000 and ours.model_bytes > 1_000_000 and ours.cold_start_s > 0
    assert [row.words.words for row in report.rows if row.words] == [8] * 3
    (words,) = [row.words for row in report.rows if row.case == "tflite-int8"]
    assert words and words.wer <= 0.5  # one clip of eight words: heard, if not to the letter
    assert "young man" in ours.fast.utterances[0].text
    assert "the bundle on the CPU, int8" in printed


def test_resampling_is_timed_where_there_is_any(made: tuple[Path, str]) -> None:
    report = record.load(made[0] / "bench.json")
    (native, *_), (resampled, *_) = report.of("capture 16 kHz"), report.of("capture 48 kHz")
    assert native.paced is None and not native.fast.converting
    assert len(resampled.fast.converting) == len(resampled.fast.utterances[0].late) > 10


def test_what_cannot_be_measured_says_what_it_needs(made: tuple[Path, str]) -> None:
    report = record.load(made[0] / "bench.json")
    missing = {row.case: row.missing for row in report.rows if row.missing}
    assert missing.keys() == {"onnx-fp32", "coral", "trt"}
    assert "convert/build.py --comparison" in missing["onnx-fp32"]
    assert missing["coral"].startswith("no Edge TPU: ") and "convert/build.py --comparison" in missing["trt"]
    assert report.baseline == "tflite-int8"  # the one asked for was not measured
    assert "battery" in report.unmeasured and report.battery is None


def test_the_files_are_whole(made: tuple[Path, str]) -> None:
    page = (made[0] / "bench.html").read_text()
    ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    ElementTree.parse(made[0] / "summary.svg")
    assert "ONNX Runtime on TensorRT" in page


def test_two_reports_are_compared(made: tuple[Path, str], tmp_path: Path) -> None:
    raw = json.loads((made[0] / "bench.json").read_text())
    raw["machine"]["governor"] = "performance"
    for measured in raw["measurements"]:
        measured["cold_start_s"] *= 2
    (tmp_path / "other.json").write_text(json.dumps(raw))
    answer = dictate("bench", "compare", made[0] / "bench.json", tmp_path / "other.json")
    assert answer.returncode == 0, answer.stderr
    assert "-> performance" in answer.stdout
    (line,) = [line for line in answer.stdout.splitlines() if "cold start" in line and "tflite-int8" in line]
    assert " 2.00 [" in line


def test_a_configuration_that_fails_leaves_the_others(bundle: Path, speech: Path, tmp_path: Path) -> None:
    """The baselines' Python is one that cannot even start the worker."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
    broken.chmod(0o755)
    answer = dictate(
        "bench",
        speech,
        "--bundle",
        bundle,
        "--configs",
        "whisper,tflite-int8",
        "--sweeps",
        "none",
        "--seconds",
        "0.2",
        "--repetitions",
        "1",
        "--baselines",
        broken,
        "--report",
        tmp_path / "out",
    )
    assert answer.returncode == 0, answer.stderr
    report = record.load(tmp_path / "out" / "bench.json")
    assert [row.missing for row in report.rows] == ["failed: no such luck", ""]
    assert report.of("tflite-int8") and not report.of("whisper")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--configs", "tflite-int9"], "--configs tflite-int9: no such configuration; there are onnx-fp32"),
        (["--sweeps", "tide"], "--sweeps tide: no such sweep; there are windows"),
        (["--seconds", "0"], "must be a number above 0"),
        (["--baseline", "nope"], "--baseline nope: no such configuration; there are onnx-fp32"),
        (["--baselines", "/nope"], "--baselines /nope: no program"),
        (["--speech", "/nonexistent.wav"], "/nonexistent.wav: no such file"),
        (["compare", "/nonexistent.json"], "name two reports"),
        (["compare", "/nonexistent.json", "/etc/hostname"], "/nonexistent.json: No such file"),
        (["--report", "/proc/nowhere"], "name another folder with --report"),
    ],
)
def test_what_it_refuses_it_says_in_one_line(arguments: list[str], said: str, bundle: Path) -> None:
    answer = dictate("bench", *arguments, DICTATE_BUNDLE=str(bundle))
    assert answer.returncode == (1 if "/nonexistent" in said else 2)
    assert said in answer.stderr.splitlines()[-1] and "Traceback" not in answer.stderr


def test_a_configuration_that_is_named_is_measured_alone(bundle: Path) -> None:
    def planned(*arguments: str) -> list[str]:
        args = cli.parser(["bench"]).parse_args(["bench", *arguments])
        return [case.name for case in bench._cases(args, schema.RealtimeSettings(), Bundle.open(bundle))]

    assert planned("--configs", "whisper") == ["whisper"]
    assert planned("--configs", "whisper", "--sweeps", "capture")[1:] == ["capture 16 kHz", "capture 48 kHz"]
    assert len(planned()) > 10
