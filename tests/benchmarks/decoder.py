"""Times a step of Moonshine's decoder and counts its errors: ours against the graph that it was made from.

    python tests/benchmarks/decoder.py ../shared/speech/dev/read ../shared/speech/dev/commands
    python tests/benchmarks/decoder.py FOLDER --names Beckett,Sarony       # how many of them are heard
    python tests/benchmarks/decoder.py FOLDER --save frames.npz            # the encoder's output, for elsewhere
    python tests/benchmarks/decoder.py --frames frames.npz --texts texts.json       # there: only the texts

A FOLDER has recordings and a transcripts.tsv (name, tab, text). The encoder is the int8 pieces on the CPU. Times
are CPU time of one thread; their lowest tenth is a step with as little disturbance as there was. The last form needs no
more than device/, models/, NumPy and ONNX Runtime, and so runs on another processor or in an emulator.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from device.asr.attention_decoder import AttentionDecoder  # noqa: E402
from models.tokenizer import END, START, Tokenizer, most_tokens  # noqa: E402
from models.transformer_bundle import TransformerBundle  # noqa: E402

Float = NDArray[np.float32]
BEAMS = (1, 2, 4)
SAMPLES = 384  # of each encoder frame: the source's mask is at the rate of the sound


@dataclass(frozen=True)
class Clip:
    """A recording: its folder and name, what is said, how long it is, and the encoder's output."""

    folder: str
    name: str
    said: str
    seconds: float
    hidden: Float  # [T, C]


class Timed:
    """A session that keeps the CPU time of each call."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.times: list[float] = []

    def run(self, *arguments: Any) -> Any:
        started = time.thread_time()
        answer = self._session.run(*arguments)
        self.times.append(time.thread_time() - started)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class Source:
    """The merged graph as it came, greedily."""

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        from device.inference.onnx_model import session

        self.session = Timed(session(path))
        self._tokenizer = tokenizer
        self._cache = [v for v in self.session.get_inputs() if v.name.startswith("past_key_values")]
        self._outputs = [v.name for v in self.session.get_outputs()]

    def __call__(self, hidden: Float, seconds: float) -> str:
        feeds = {
            "encoder_attention_mask": np.ones((1, len(hidden) * SAMPLES), np.int64),
            "encoder_hidden_states": hidden[None],
        }
        past = {v.name: np.zeros((1, v.shape[1], 0, v.shape[3]), np.float32) for v in self._cache}
        said = [START]
        while said[-1] != END and len(said) <= most_tokens(seconds):
            later = len(said) > 1
            given = {"input_ids": np.array([said[-1:]], np.int64), "use_cache_branch": np.array([later])}
            answer = dict(zip(self._outputs, self.session.run(None, {**feeds, **past, **given}), strict=True))
            for name in past:
                if not later or ".encoder." not in name:
                    past[name] = answer[name.replace("past_key_values", "present")]
            said.append(int(answer["logits"][0, -1].argmax()))
        return self._tokenizer.text(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "build" / "moonshine-tiny")
    parser.add_argument("--names", default="", help="words of the user, separated by commas")
    parser.add_argument("--others", default="", help="more of them, which nobody says")
    parser.add_argument("--clips", type=int, default=0, help="only so many of each folder")
    parser.add_argument("--save", type=Path, help="write the encoder's output there, and do no more")
    parser.add_argument("--frames", type=Path, help="what --save wrote, in place of folders")
    parser.add_argument("--texts", type=Path, help="write the texts there, and do no more")
    options = parser.parse_args()
    bundle = TransformerBundle.open(options.bundle)
    clips = load(options.frames) if options.frames else encode(bundle, options.folders, options.clips)
    if options.save:
        save(clips, options.save)
    elif options.texts:
        decoder = AttentionDecoder.of(bundle)
        found = {c.name: [decoder.decode(c.hidden, c.seconds, beam)[0].text for beam in BEAMS] for c in clips}
        options.texts.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    elif options.names:
        recall(bundle, clips, options.names.split(","), [word for word in options.others.split(",") if word])
    else:
        compare(bundle, clips)


def encode(bundle: TransformerBundle, folders: list[Path], most: int) -> list[Clip]:
    """The recordings in `folders` through the int8 pieces."""
    from convert.quality import recordings
    from convert.transformer.measure import Int8Pieces
    from models import moonshine

    weights = bundle.weights()
    int8 = Int8Pieces({n: bundle.piece(n) for n in bundle.names}, bundle.pieces(), bundle.description.frames)
    clips = []
    for folder in folders:
        lines = (folder / recordings.TRANSCRIPTS).read_text(encoding="utf-8").splitlines()
        for line in [line for line in lines if line.strip()][: most or None]:
            name, said = line.split("\t")[:2]
            samples = recordings.read(folder / name, moonshine.SAMPLE_RATE)
            stem = moonshine.Stem(weights)
            stem.push(samples)
            hidden = moonshine.encode(weights, stem.frames(), int8)
            clips.append(Clip(folder.name, name, said, len(samples) / moonshine.SAMPLE_RATE, hidden))
    return clips


def save(clips: list[Clip], path: Path) -> None:
    about = json.dumps([[clip.folder, clip.name, clip.said, clip.seconds] for clip in clips])
    np.savez(path, about=np.array(about), **{f"hidden{i}": clip.hidden for i, clip in enumerate(clips)})


def load(path: Path) -> list[Clip]:
    with np.load(path) as arrays:
        return [Clip(*about, arrays[f"hidden{i}"]) for i, about in enumerate(json.loads(str(arrays["about"])))]


def compare(bundle: TransformerBundle, clips: list[Clip]) -> None:
    """Milliseconds a step, words wrong, and on how many clips greedy words are the source's."""
    from convert import fetch
    from device.inference.onnx_model import session
    from models import manifest

    chosen = manifest.load_any(bundle.description.name)
    tokenizer = Tokenizer.load(bundle.tokenizer)
    source = Source(fetch.fetch(chosen, "decoder"), tokenizer)
    step = Timed(session(bundle.decoder_step))
    ours = AttentionDecoder(session(bundle.decoder_cross), step, tokenizer)
    ways: dict[str, Callable[[Clip], str]] = {"source, greedy": lambda c: source(c.hidden, c.seconds)}
    for beam in BEAMS:
        name = "greedy" if beam == 1 else f"beam {beam}"
        ways[name] = lambda c, beam=beam: ours.decode(c.hidden, c.seconds, beam)[0].text  # type: ignore[misc]
    texts: dict[str, list[str]] = {name: [] for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    spent = dict.fromkeys(ways, 0.0)
    for clip in clips:
        for name, way in ways.items():
            timed = source.session if name.startswith("source") else step
            timed.times = []
            started = time.thread_time()
            texts[name].append(way(clip))
            spent[name] += time.thread_time() - started
            times[name] += timed.times[1:]  # the source's first step computes the cross-attention's keys and values too
    seconds = sum(clip.seconds for clip in clips)
    folders = list(dict.fromkeys(clip.folder for clip in clips))
    print(f"{'':16}{'ms/step':>10}{'lowest 10%':>12}{'CPU s/s':>10}" + "".join(f"{folder:>14}" for folder in folders))
    for name in ways:
        low, middle = (1e3 * np.percentile(times[name], p) for p in (10, 50))
        rates = "".join(f"{wrong(clips, texts[name], folder):>14}" for folder in folders)
        print(f"{name:16}{middle:10.2f}{low:12.2f}{spent[name] / seconds:10.4f}{rates}")
    same = sum(plain(a) == plain(b) for a, b in zip(texts["source, greedy"], texts["greedy"], strict=True))
    print(f"greedy, the words are the source's in {same} of {len(clips)} clips")


def recall(bundle: TransformerBundle, clips: list[Clip], names: list[str], others: list[str]) -> None:
    """In how many clips in which a name is said it is heard, and what the bonus does to everything else."""
    plainly, biased = AttentionDecoder.of(bundle), AttentionDecoder.of(bundle, [*names, *others])
    for title, decoder, beam in (("greedy", plainly, 1), ("beam 4", plainly, 4), ("beam 4, bonus", biased, 4)):
        started = time.thread_time()
        texts = [decoder.decode(clip.hidden, clip.seconds, beam)[0].text for clip in clips]
        spent = time.thread_time() - started
        chances = [
            (name, text) for name in names for clip, text in zip(clips, texts, strict=True) if has(clip.said, name)
        ]
        heard = {name for name, text in chances if has(text, name)}
        rates = ", ".join(
            f"{folder} {wrong(clips, texts, folder)}" for folder in dict.fromkeys(c.folder for c in clips)
        )
        print(f"{title}: {len(heard)} of {len({name for name, _ in chances})} heard; {rates}; {spent:.1f} s")
        print("   not:", ", ".join(sorted({name for name, _ in chances} - heard)))


def wrong(clips: list[Clip], texts: list[str], folder: str) -> str:
    """WER after Whisper's normaliser, and wrong words."""
    from device.bench import wer

    pairs = [(clip.said, text) for clip, text in zip(clips, texts, strict=True) if clip.folder == folder]
    score = wer.score([said for said, _ in pairs], [text for _, text in pairs])
    return f"{score.wer:.4f} ({score.substitutions + score.deletions + score.insertions})"


def plain(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def has(text: str, name: str) -> bool:
    return f" {' '.join(plain(name))} " in f" {' '.join(plain(text))} "


if __name__ == "__main__":
    main()
