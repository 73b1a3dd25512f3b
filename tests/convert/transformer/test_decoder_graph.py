"""Moonshine's decoder as graphs of our own: the source's numbers, its words, and the same bytes without onnx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from convert import fetch
from convert.errors import GraphError
from convert.onnx import runtime
from convert.quality import recordings
from convert.transformer import decoder_graph, decoder_weights, ort_format, vocabulary
from convert.transformer.decode import Decoder
from models import manifest
from models.decoder_steps import DecoderSteps
from models.manifest import TransformerManifest
from models.tokenizer import END, START, Tokenizer, most_tokens

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "models" / "moonshine-tiny" / "decoder"
LEXICON = ROOT / "models" / "base" / "lexicon.tsv.gz"
SAMPLES = 384  # of each encoder frame: the source's mask is at the rate of the sound
SECONDS = 7
SOME = range(0, 32_000, 3)
Float = NDArray[np.float32]


class Source:
    """The merged graph as it came, whose cache branch is for all steps but the first."""

    def __init__(self, path: Path) -> None:
        self._session = runtime.session(path)
        self._cache = [v for v in self._session.get_inputs() if v.name.startswith("past_key_values")]
        self._outputs = [v.name for v in self._session.get_outputs()]

    def greedy(self, hidden: Float, count: int) -> list[int]:
        """Up to `count` tokens, the likeliest each time."""
        feeds = {
            "encoder_attention_mask": np.ones((1, len(hidden) * SAMPLES), np.int64),
            "encoder_hidden_states": hidden[None],
        }
        past = {v.name: np.zeros((1, v.shape[1], 0, v.shape[3]), np.float32) for v in self._cache}
        said = [START]
        while said[-1] != END and len(said) <= count:
            later = len(said) > 1
            given = {"input_ids": np.array([said[-1:]], np.int64), "use_cache_branch": np.array([later])}
            answer = dict(zip(self._outputs, self._session.run(None, {**feeds, **past, **given}), strict=True))
            for name in past:
                if not later or ".encoder." not in name:
                    past[name] = answer[name.replace("past_key_values", "present")]
            said.append(int(answer["logits"][0, -1].argmax()))
        return said[1:]


@pytest.fixture(scope="module")
def assets() -> dict[str, Path]:
    chosen = manifest.load_any("moonshine-tiny")
    assert isinstance(chosen, TransformerManifest)
    return {role: fetch.fetch(chosen, role) for role in ("encoder", "decoder", "tokenizer", "two_cities", "beckett")}


@pytest.fixture(scope="module")
def exported(assets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("decoder")
    decoder_graph.export(assets["decoder"], assets["tokenizer"], 8, out, LEXICON)
    return out


@pytest.fixture(scope="module")
def stays(exported: Path) -> Any:
    """Which tokens the decoder has, bool [tokens]."""
    return vocabulary.read(exported / vocabulary.FILE, 32_768)


@pytest.fixture(scope="module")
def speech(assets: dict[str, Path]) -> list[Float]:
    """The encoder's output for pieces of two recordings, [T, C] each."""
    encoder, found = runtime.session(assets["encoder"]), []
    for role in ("two_cities", "beckett"):
        samples = recordings.read(assets[role], 16_000)
        for start in range(0, len(samples) - SECONDS * 16_000, SECONDS * 16_000):
            heard = samples[None, start : start + SECONDS * 16_000]
            feeds = {"input_values": heard, "attention_mask": np.ones(heard.shape, np.int64)}
            found.append(encoder.run(None, feeds)[0][0])
    return found


def first_step(source: Path) -> ModelProto:
    """The merged graph's branch for the first step, which takes any number of tokens, as a model of its own."""
    merged = ort_format.load(source)
    (branch,) = (a.g for node in merged.graph.node for a in node.attribute if a.name == "else_branch")
    graph = helper.make_graph(
        [*(node for node in merged.graph.node if node.op_type != "If"), *branch.node],
        "first",
        [value for value in merged.graph.input if not value.name.startswith(("past_key_values", "use_cache"))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [*merged.graph.initializer, *branch.initializer],
    )
    return helper.make_model(graph, opset_imports=merged.opset_import, ir_version=merged.ir_version)


def in_float(model: ModelProto) -> Any:
    """A session of the model without dynamic quantization."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [*model.graph.node]:
        if node.op_type == "Transpose" and node.input[0] in constants:
            turned = numpy_helper.to_array(constants[node.input[0]]).T
            model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(turned), node.output[0]))
            model.graph.node.remove(node)
    return runtime.session(ort_format.dequantized(model).SerializeToString())


def test_without_quantization_the_probabilities_are_the_sources(
    assets: dict[str, Path], exported: Path, stays: Any, speech: list[Float]
) -> None:
    """Among the tokens that stay; the others have so little that their absence is within the tolerance."""
    hidden, text = speech[0], [START, 739, 471, 278, 1900, 310, 3064, 29889, 739, 471, 278, 17322, 310, 3064]
    feeds = {
        "encoder_attention_mask": np.ones((1, len(hidden) * SAMPLES), np.int64),
        "encoder_hidden_states": hidden[None],
        "input_ids": np.array([text], np.int64),
    }
    logits = in_float(first_step(assets["decoder"])).run(["logits"], feeds)[0][0].astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    cross, step = (in_float(onnx.load(exported / name)) for name in (decoder_graph.CROSS, decoder_graph.STEP))
    decoding = DecoderSteps(cross, step, hidden)
    everything = np.arange(len(stays))
    rows = [decoding.advance([token], [0], 5, everything) for token in text]
    found = np.concatenate([row.log_probs for row in rows])
    np.testing.assert_allclose(found[:, stays], expected[:, stays], atol=1e-3)
    np.testing.assert_array_equal(found[:, ~stays], np.broadcast_to(found[:, :1], found[:, ~stays].shape))
    for row, all_of in zip(rows, found, strict=True):
        np.testing.assert_array_equal(row.best[0], all_of[row.ids[0]])
        np.testing.assert_array_equal(row.best[0], np.sort(all_of[stays])[:-6:-1])
        assert stays[row.ids].all()
    scores = DecoderSteps(cross, step, hidden).follow([*text[1:], END])
    np.testing.assert_allclose(scores, expected[np.arange(len(text)), [*text[1:], END]], atol=1e-3)


def test_the_words_are_the_sources(assets: dict[str, Path], exported: Path, speech: list[Float]) -> None:
    source, ours = Source(assets["decoder"]), Decoder(exported)
    tokenizer = Tokenizer.load(assets["tokenizer"])
    for hidden in speech:
        assert ours(hidden, SECONDS) == tokenizer.text(source.greedy(hidden, most_tokens(SECONDS)))
    assert sum(len(ours(hidden, SECONDS).split()) for hidden in speech) > 60


def test_hypotheses_are_rows_that_do_not_see_each_other(exported: Path, speech: list[Float]) -> None:
    """Texts side by side, one of them continued twice, as each by itself; without quantization, which sees all rows."""
    sessions = [in_float(onnx.load(exported / name)) for name in (decoder_graph.CROSS, decoder_graph.STEP)]

    def alone(*text: int) -> Float:
        decoding = DecoderSteps(*sessions, speech[0])
        return [decoding.advance([token], [0], 1, SOME) for token in text][-1].log_probs[0]

    together = DecoderSteps(*sessions, speech[0])
    together.advance([START], [0], 1)
    together.advance([306, 739], [0, 0], 1)
    together.advance([471, 505], [1, 0], 1)
    together.advance([263, 278], [1, 0], 1)
    rows = together.advance([1900, 12561, 17322], [1, 0, 1], 1, SOME).log_probs
    np.testing.assert_allclose(rows[0], alone(START, 739, 471, 278, 1900), atol=1e-3)
    np.testing.assert_allclose(rows[1], alone(START, 306, 505, 263, 12561), atol=1e-3)
    np.testing.assert_allclose(rows[2], alone(START, 739, 471, 278, 17322), atol=1e-3)


def test_bytes_are_the_same_each_time_and_on_a_machine_without_onnx(
    assets: dict[str, Path], exported: Path, tmp_path: Path
) -> None:
    """The Pi has no onnx: it takes the graphs as they are shipped and makes only the weights."""
    program = (
        "import sys; sys.modules['onnx'] = None\n"
        "from pathlib import Path\n"
        "from convert.transformer import decoder_graph\n"
        "decoder, tokenizer, out, given = map(Path, sys.argv[1:])\n"
        "decoder_graph.export(decoder, tokenizer, 8, out, given)\n"
    )
    paths = map(str, (assets["decoder"], assets["tokenizer"], tmp_path, SHIPPED))
    subprocess.run([sys.executable, "-c", program, *paths], cwd=ROOT, check=True)
    for name in {*decoder_graph.FILES, *decoder_graph.SHIPPED}:
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes(), (
            f"{name}: ship it with `python convert/build.py --model moonshine-tiny --ship`"
        )


def test_the_graphs_are_small(exported: Path) -> None:
    nodes = [len(onnx.load(exported / name, load_external_data=False).graph.node) for name in (decoder_graph.STEP,)]
    assert nodes[0] < 120, "the source has 900"
    assert sum((exported / name).stat().st_size for name in (decoder_graph.STEP, decoder_graph.CROSS)) < 1 << 16


def test_weights_lie_where_the_graphs_look_for_them(assets: dict[str, Path], exported: Path, stays: Any) -> None:
    weights, _ = decoder_weights.read(assets["decoder"], 8, stays)
    content = (exported / decoder_weights.FILE).read_bytes()
    found = set()
    for name in (decoder_graph.STEP, decoder_graph.CROSS):
        for tensor in onnx.load(exported / name, load_external_data=False).graph.initializer:
            place = {entry.key: entry.value for entry in tensor.external_data}
            if place:
                start, length = int(place["offset"]), int(place["length"])
                assert content[start : start + length] == weights[tensor.name].tobytes()
                found.add(tensor.name)
    assert found == set(weights)


def test_another_network_is_refused_in_a_line(assets: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="no merged graph"):
        decoder_graph.export(assets["encoder"], assets["tokenizer"], 8, tmp_path, SHIPPED)
    damaged = tmp_path / "half.ort"
    damaged.write_bytes(assets["decoder"].read_bytes()[:1_000_000])
    with pytest.raises(GraphError, match="damaged or cut short"):
        decoder_graph.export(damaged, assets["tokenizer"], 8, tmp_path, SHIPPED)
    with pytest.raises(GraphError, match="not the tokenizer's 24"):
        decoder_weights.read(assets["decoder"], 8, np.ones(24, np.bool_))
