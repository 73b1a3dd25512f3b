"""Whether numbers are right more often by the rules or as Moonshine writes them, on synthesised and recorded speech.

    python -m venv /tmp/moonshine && /tmp/moonshine/bin/pip install moonshine-voice==0.0.44 soundfile
    apt-get install espeak-ng flite
    PYTHONPATH=. /tmp/moonshine/bin/python tests/benchmarks/spoken_numbers.py [--show] [TABLE.tsv | DIR]...

A table has what is said and the right forms, as tests/data/spoken_forms.tsv, and is spoken by each of VOICES, a long
one by one of them in turn; a directory has recordings and transcripts.tsv. Capitals, hyphens and the marks around words
are not compared. What is misheard is wrong either way, so what counts is how often one is right where the other is not.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from device.text.edits import apply
from device.text.formatter import Rules, TextFormatter

RATE = 16_000
MARGIN_S = 0.3  # of silence around a synthesised sentence
VOICES = ("espeak-ng -v en-us -s 150 -w", "flite -voice slt -o", "flite -voice rms -o")
MANY = 100  # sentences of a table each of which one voice says
TABLES = (Path("tests/data/spoken_forms.tsv"), Path("tests/data/everyday.tsv"))

Hear = Callable[[NDArray[np.float32]], str]


def moonshine() -> Hear:
    from moonshine_voice.moonshine_api import ModelArch
    from moonshine_voice.transcriber import Transcriber
    from moonshine_voice.utils import get_model_path

    transcriber = Transcriber(str(get_model_path("tiny-en")), ModelArch.TINY)
    return lambda samples: " ".join(
        line.text for line in transcriber.transcribe_without_streaming(samples.tolist(), RATE).lines
    )


def sound(file: Path) -> NDArray[np.float32]:
    """Mono at RATE [n], linearly interpolated: good enough for a synthesiser's voice."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    times = np.arange(int(len(mono) * RATE / rate)) * rate / RATE
    return np.interp(times, np.arange(len(mono)), mono).astype(np.float32)


def spoken(text: str, voice: str, folder: Path) -> NDArray[np.float32]:
    file = folder / "said.wav"
    subprocess.run([*voice.split(), file, *(["-t"] if voice.startswith("flite") else []), text], check=True)
    return np.pad(sound(file), int(MARGIN_S * RATE))


def cases(source: Path, folder: Path) -> Iterator[tuple[str, list[str], NDArray[np.float32]]]:
    """A name, the right forms, and the sound."""
    if source.is_dir():
        for line in (source / "transcripts.tsv").read_text(encoding="utf-8").splitlines():
            name, _, transcript = line.partition("\t")
            yield name, [transcript], sound(source / name)
        return
    lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")]
    for at, line in enumerate(lines):
        said, _, forms = line.partition("\t")
        for voice in VOICES if len(lines) < MANY else (VOICES[at % len(VOICES)],):
            yield f"{voice.split(' -')[0]}: {said}", (forms or said).split(" | "), spoken(said, voice, folder)


def plain(text: str) -> str:
    """What is compared: no capitals, hyphens, nor marks but those within a figure.

    >>> plain("I paid $2,000.50, twenty-one days ago.")
    'i paid $2000.50 twenty one days ago'
    """
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower()).replace("-", " ").replace(".m.", "m")
    return " ".join(re.sub(r"[.,;:?!](?!\d)|(?<!\d)[.,;:?!]", " ", text).split())


def typed(heard: str, rules: Rules) -> str:
    return apply("", TextFormatter(rules).segment(heard, punctuated=True))


def main(arguments: list[str]) -> None:
    hear = moonshine()
    ways = {"as written": Rules(style=None), "by the rules": Rules()}
    for source in [Path(name) for name in arguments if name != "--show"] or TABLES:
        right = dict.fromkeys(ways, 0)
        count, changed, better, worse = 0, 0, 0, 0
        with tempfile.TemporaryDirectory() as folder:
            for name, forms, samples in cases(source, Path(folder)):
                heard = hear(samples)
                texts = {way: typed(heard, rules) for way, rules in ways.items()}
                fits = {way: plain(text) in map(plain, forms) for way, text in texts.items()}
                as_written, by_rules = fits.values()
                count, changed = count + 1, changed + (len(set(texts.values())) > 1)
                better, worse = better + (by_rules > as_written), worse + (as_written > by_rules)
                right = {way: right[way] + fits[way] for way in ways}
                if "--show" in arguments and len(set(texts.values())) > 1:
                    print("  ", "+-="[1 if as_written > by_rules else 0 if by_rules > as_written else 2], name, texts)
        figures = ", ".join(f"{number} {way}" for way, number in right.items())
        print(f"{source}: {count} utterances; right: {figures}; changed {changed}: {better} better, {worse} worse")


if __name__ == "__main__":
    main(sys.argv[1:])
