"""Every command alike: exit status, where its messages go and how they begin, help, version, odd outputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from device import cli
from device.config import bundle_folder, loader
from device.config.loader import Loaded
from device.panel import leds

DICTATE = Path(sys.executable).with_name("dictate")
PAGE = Path(__file__).parents[3] / "docs" / "commands.md"

CONFIGURED = [
    ["config"],
    ["journal"],
    ["format", "hello"],
    ["words", "list"],
    ["words", "add", "x"],
    ["words", "remove", "x"],
    ["format", "x"],
    ["doctor"],
    ["run"],
    ["power", "now"],
    ["power", "report"],
    ["power", "hours"],
    ["wiring"],
    ["realtime", "check"],
    ["realtime", "restore"],
    ["realtime", "wake-ups"],
    ["bench"],
    ["keyboard", "calibrate"],
    ["wyoming"],
    ["report", "--no-bench"],
    ["live"],
]
"""Every command that reads the configuration."""

MISUSED = [
    ["transcribe"],
    ["transcribe", "--threads", "0", "x.wav"],
    ["transcribe", "--threads", "two", "x.wav"],
    ["transcribe", "--backend", "gpu", "x.wav"],
    ["transcribe", "--format", "doc", "x.wav"],
    ["transcribe", "--format", "srt", "x.wav", "y.wav"],
    ["live", "--silence", "0"],
    ["live", "--type", "nothing"],
    ["toggle", "--start", "--stop"],
    ["eval"],
    ["eval", "--threads", "0", "."],
    ["bench", "--baseline", "nope"],
    ["bench", "--baselines", "/nope"],
    ["bench", "--configs", "nope"],
    ["bench", "--sweeps", "nope"],
    ["bench", "--seconds", "0"],
    ["bench", "--repetitions", "0"],
    ["bench", "--threads", "0"],
    ["bench", "--duty", "2"],
    ["bench", "compare", "a.json"],
    ["config", "--only", "nonsense"],
    ["config", "--set", "nonsense"],
    ["journal", "--last", "-3"],
    ["journal", "--last", "0"],
    ["journal", "--since", "yesterday"],
    ["journal", "--regex", "("],
    ["journal", "--text", "--json"],
    ["words"],
    ["doctor", "--json", "--ask"],
    ["keyboard"],
    ["power"],
    ["power", "report", "--days", "0"],
    ["power", "report", "--days", "nan"],
    ["power", "hours", "--duty", "1.5"],
    ["power", "hours", "--battery-wh", "-1"],
    ["realtime"],
    ["wyoming", "--set", "wyoming.address=nowhere"],
    ["wyoming", "--port", "1"],
    ["report", "--no-bench", "--json"],
    ["browser", "--port", "70000"],
    ["setup"],
    ["update"],
    ["nonsense"],
    [],
]

NOTHING_THERE = [
    ["transcribe", "/nonexistent.wav"],
    ["eval", "/nonexistent"],
    ["bench", "--speech", "/nonexistent.wav"],
    ["bench", "compare", "/nonexistent.json", "/nonexistent.json"],
    ["journal", "--dir", "/nonexistent"],
    ["journal", "--set", "sinks.journal.mode=off"],
    ["keyboard", "calibrate", "--set", "sinks.keyboard.path=/nonexistent"],
    ["power", "now", "--set", "power.meter=/nonexistent"],
    ["power", "report", "--dir", "/nonexistent"],
    ["power", "hours", "--dir", "/nonexistent"],
    ["power", "hours", "--dir", "/etc/hostname"],
    ["leds", "--svg", "/nonexistent/leds.svg"],
    ["wiring", "--svg", "/nonexistent/wiring.svg"],
    ["update", "/nonexistent.update"],
]


def dictate(*arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DICTATE, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="surrogateescape",
        env=os.environ | environment,
    )


def named(text: str) -> set[str]:
    """How the lines of a message begin, argparse's usage left out."""
    usage = re.compile(r"^(usage: .*|\s+.*)$")
    return {line.split(":")[0] for line in text.splitlines() if not usage.match(line)}


@pytest.mark.parametrize("command", CONFIGURED, ids=" ".join)
def test_a_wrong_configuration_is_wrong_use(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--set", "audio.rate=3", "--set", "panel.mode=push"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and named(err) == {f"dictate {command[0]}"}
    assert "audio.rate = 3" in err and 'panel.mode = "push"' in err


def status(command: list[str]) -> int:
    """The exit status of a command, run in this process; whatever it raises but does not expect is raised."""
    try:
        return cli.main(command)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("command", MISUSED, ids=" ".join)
def test_wrong_use_is_2(
    command: list[str], bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DICTATE_BUNDLE", str(bundle))
    assert status(command) == 2
    out, err = capfd.readouterr()
    assert out == "" and all(name.startswith("dictate") for name in named(err)), err


@pytest.mark.parametrize("command", NOTHING_THERE, ids=" ".join)
def test_what_is_not_there_is_1(
    command: list[str], bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DICTATE_BUNDLE", str(bundle))
    assert status(command) == 1
    err = capfd.readouterr().err
    assert named(err) == {f"dictate {command[0]}"}, err


def test_every_command_is_tried() -> None:
    tried = {command[0] for command in (*CONFIGURED, *MISUSED, *NOTHING_THERE) if command}
    assert set(cli.COMMANDS) | {"nonsense"} == tried


def test_every_command_and_status_is_in_the_docs() -> None:
    page = PAGE.read_text()
    for command in cli.COMMANDS:
        assert f"`dictate {command}" in page, command
    for status in (cli.DONE, cli.FAULTS, cli.WRONG_USE, cli.INTERRUPTED, cli.NOBODY_READS):
        assert f"| {status} |" in page, status


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert re.fullmatch(r"dictate \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "command", [*([name] for name in cli.COMMANDS), ["power", "now"], ["words", "add"], ["realtime", "check"]]
)
def test_help_says_what_it_is_for(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([*command, "--help"])
    paragraphs = capsys.readouterr().out.split("\n\n")
    assert re.match(r"[A-Z].*\.$", paragraphs[1], re.DOTALL), paragraphs[1]


def test_the_lights_fit_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["leds"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 2 * len(leds.PATTERNS)


@pytest.mark.parametrize("command", [["config"], ["leds"], ["wiring"], ["power", "now"], ["config", "--template"]])
def test_a_full_standard_output_is_one_line(command: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    done = dictate(*command, stdout=full)
    os.close(full)
    assert done.returncode == 1
    assert done.stderr == f"dictate {command[0]}: standard output: No space left on device\n"


def test_a_reader_that_leaves_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = dictate("config", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_bundle_of_this_checkout_is_what_every_command_uses_without_another(tmp_path: Path) -> None:
    missing, built = tmp_path / "missing", tmp_path
    plain = loader.load(None, environ={})

    def found(loaded: Loaded, installed: Path = missing) -> Path:
        return bundle_folder.with_built_bundle(loaded, installed, built).config.bundle.dir

    assert found(plain) == built
    assert found(plain, installed=tmp_path) == bundle_folder.INSTALLED
    assert found(loader.load(None, environ={"DICTATE_BUNDLE": "/a"})) == Path("/a")
    assert found(loader.load(None, ["bundle.dir=/b"], {"DICTATE_BUNDLE": "/a"})) == Path("/b")


def test_format_takes_any_bytes() -> None:
    done = subprocess.run([DICTATE, "format"], input=b"\xef\xbb\xbfcaf\xe9 twenty\nat five p m\n", capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"Caf\xe9 20\nAt 5 p.m.\n")


def test_a_word_file_with_a_fault_is_used_and_told(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text("Xiaoming\tshao ming\n\tnothing\n")
    done = dictate("format", "--set", f"vocabulary.file={tmp_path}/words.tsv", "hello xiaoming")
    assert (done.returncode, done.stdout) == (1, "Hello Xiaoming\n")
    assert named(done.stderr) == {"dictate format"}
