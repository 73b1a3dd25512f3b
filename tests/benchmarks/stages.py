"""Where the time and the memory of a listening recogniser go: `.venv/bin/python tests/benchmarks/stages.py DIR`.

Processor time, one thread, so that a busy machine shows less. The first table is the cold start, step by step, in a
process of its own; the second the work for blocks of 100 ms; the third what the head saves where it computes only the
frames that a window wants; the last what the encoder's and the head's arithmetic costs at the rate that they reach.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

from device.asr import factory
from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from device.asr.recognizer import Recognizer
from device.audio.chunk import BLOCK
from device.audio.file import WaveFile
from device.config import places
from models.bundle import WANTED, Bundle

STEP = 30  # frames; windows that want about as many are one row

COLD = """
import resource, time
from pathlib import Path
wall, work = time.perf_counter(), time.process_time()
def done(step):
    now = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {step} | {1e3 * (now[0] - wall):.0f} | {1e3 * (now[1] - work):.0f} | {peak:.0f} |", flush=True)
from device.asr import factory
from device.config import places
from device.asr.decoder import Decoder
from device.asr.encoder import Encoder
from device.inference.interpreter import load_interpreter_module
from device.asr.recognizer import Recognizer
from models.bundle import Bundle
done("Python's imports, NumPy")
load_interpreter_module()
done("the interpreter's import")
bundle = Bundle.open(Path({bundle!r}))
done("checksums of the bundle")
encoder = Encoder(bundle, factory.accelerators(bundle, None, "cpu", 1)[0].accelerator)
done("encoder and head")
decoder = Decoder.of(bundle)
done("lexicon and language model")
recognizer = Recognizer(bundle, encoder, decoder, live=True)
done("features: ready")
"""


def cold(bundle: Path) -> None:
    print("| after | wall clock, ms | processor, ms | peak memory, MB |\n|---|--:|--:|--:|")
    steps = COLD.replace("{bundle!r}", repr(str(bundle)))
    subprocess.run([sys.executable, "-c", steps], check=True, stderr=subprocess.DEVNULL)


def onnx_multiplications(model: Path, wanted: float) -> dict[str, float]:
    """Millions of multiply-accumulates of one call of an ONNX model's matrix products, for so many wanted frames."""
    proto = onnx.load(model)
    for constant in proto.graph.initializer:
        if constant.name == WANTED[1]:  # the first default is 0
            constant.CopyFrom(onnx.numpy_helper.from_array(np.array([round(wanted)]), constant.name))
    proto = onnx.shape_inference.infer_shapes(proto)
    shapes = {t.name: list(t.dims) for t in proto.graph.initializer}
    for value in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    products = [node for node in proto.graph.node if node.op_type == "MatMul"]
    return {"MatMul": sum(float(np.prod(shapes[n.output[0]])) * shapes[n.input[0]][-1] for n in products) / 1e6}


def multiplications(model: Path, wanted: float) -> dict[str, float]:
    """Millions of multiply-accumulates of one call of a TFLite model, by operator; of all frames."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter, found = Interpreter(str(model)), Counter[str]()
    for op in interpreter._get_ops_details():
        shapes = [interpreter._get_tensor_details(i, 0)["shape"] for i in op["inputs"] if i >= 0]
        size = {
            "CONV_2D": lambda s=shapes: np.prod(s[1][1:]),
            "DEPTHWISE_CONV_2D": lambda s=shapes: np.prod(s[1][1:3]),
            "FULLY_CONNECTED": lambda s=shapes: s[1][-1],
            "BATCH_MATMUL": lambda s=shapes: s[0][-1],
        }.get(op["op_name"])
        if size:
            answer = interpreter._get_tensor_details(op["outputs"][0], 0)["shape"]
            found[op["op_name"]] += float(np.prod(answer) * size()) / 1e6
    return dict(found)


class Looks:
    """An acoustic model that remembers what its head was asked."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.asked: list[tuple[np.ndarray, slice]] = []

    def hidden(self, mel: np.ndarray) -> np.ndarray:
        return self._encoder.hidden(mel)

    def head(self, hidden: np.ndarray, wanted: slice) -> np.ndarray:
        self.asked.append((hidden, wanted))
        return self._encoder.head(hidden, wanted)


def wanted_frames(bundle: Bundle, sounds: list[np.ndarray]) -> float:
    """The head's time for all frames and for the wanted ones, in turn on the same windows; how many these are."""
    encoder = Encoder(bundle, factory.accelerators(bundle, None, "cpu", 1)[0].accelerator)
    looks, times, counts = Looks(encoder), defaultdict[int, list[tuple[float, float]]](list), []
    recognizer = Recognizer(bundle, looks, Decoder.of(bundle), live=True)
    for samples in sounds:
        for piece in np.split(samples, range(BLOCK, len(samples), BLOCK)):
            recognizer.accept_waveform(piece)
        recognizer.finish()
        for hidden, wanted in looks.asked:
            pair = []
            for frames in (slice(None), wanted):
                begun = time.process_time()
                encoder.head(hidden, frames)
                pair.append(time.process_time() - begun)
            counts.append(wanted.stop - wanted.start)
            times[counts[-1] // STEP].append((pair[0], pair[1]))
        looks.asked.clear()
    print("\n| frames wanted | windows | all, ms | wanted, ms | ratio |\n|--:|--:|--:|--:|--:|")
    rows = [(f"{STEP * n} to {STEP * n + STEP - 1}", times[n]) for n in sorted(times)]
    for name, measured in (*rows, ("any", [pair for n in times for pair in times[n]])):
        everything, some = 1e3 * np.mean(measured, axis=0)
        print(f"| {name} | {len(measured)} | {everything:.2f} | {some:.2f} | {some / everything:.2f} |")
    return float(np.mean(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--bundle", type=Path, default=places.default_bundle())
    arguments = parser.parse_args()
    cold(arguments.bundle)

    spent, called = Counter[str](), Counter[str]()

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        spent[name] += time.process_time() - begun
        called[name] += 1

    bundle = Bundle.open(arguments.bundle)
    recognizer = factory.recognizer(bundle, "cpu", live=True, stage=stage).recognizer
    sounds = [np.concatenate([c.samples for c in WaveFile(file)]) for file in sorted(arguments.folder.glob("*.flac"))]
    recognizer.accept_waveform(sounds[0])
    recognizer.finish()
    spent.clear(), called.clear()
    blocks, ends = [], []
    for samples in sounds:
        for piece in np.split(samples, range(BLOCK, len(samples), BLOCK)):
            begun = time.process_time()
            recognizer.accept_waveform(piece)
            blocks.append(time.process_time() - begun)
        begun = time.process_time()
        recognizer.finish()
        ends.append(time.process_time() - begun)
    total = sum(blocks) + sum(ends)
    print("\n| stage | ms for 100 ms of speech | share | ms a call |\n|---|--:|--:|--:|")
    for name, seconds in spent.most_common():
        each = 1e3 * seconds / len(blocks)
        print(f"| {name} | {each:.2f} | {100 * seconds / total:.0f} % | {1e3 * seconds / called[name]:.2f} |")
    print(f"| all | {1e3 * total / len(blocks):.2f} | | |")
    for name, values in (("a block of 100 ms", blocks), ("the end of an utterance", ends)):
        print(f"\n{name}: " + ", ".join(f"p{p} {1e3 * np.percentile(values, p):.1f} ms" for p in (50, 95, 99)))
    print(f"\npeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, speech included "
          f"({sum(map(len, sounds)) * 2 / 1e6:.0f} MB)")  # fmt: skip
    wanted = wanted_frames(bundle, sounds)
    print("\n| model | million multiplications | of these | GMAC/s reached |\n|---|--:|---|--:|")
    for name, count in (("encoder", multiplications), ("head", onnx_multiplications)):
        work = count(bundle.path(name), wanted)
        rate = sum(work.values()) * 1e6 / (spent[name] / called[name]) / 1e9
        parts = ", ".join(f"{operator} {millions:.0f}" for operator, millions in work.items())
        print(f"| {name} | {sum(work.values()):.0f} | {parts} | {rate:.0f} |")


if __name__ == "__main__":
    main()
