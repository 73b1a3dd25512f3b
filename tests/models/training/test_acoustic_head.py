"""The base model's head: what it computes, of which frames, and that a head of all frames only still serves."""

from __future__ import annotations

from math import erf
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.errors import GraphError
from convert.onnx import split
from device.inference.onnx_model import OnnxModel
from models import manifest
from models.bundle import WANTED

HEAD = manifest.ROOT / "base" / "head.onnx"
HEADS, FRAMES, WIDTH, TOKENS = 4, 240, 256, 191


@pytest.fixture(scope="module")
def hidden() -> NDArray[np.float32]:
    """[1, width, frames], about as large as what the encoder gives."""
    return np.random.default_rng(0).normal(0, 0.5, (1, WIDTH, FRAMES)).astype(np.float32)


@pytest.fixture
def model() -> onnx.ModelProto:
    return onnx.load(HEAD)


def log_softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = x - x.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def reference(hidden: NDArray[np.float32]) -> NDArray[np.float64]:
    """Two pre-norm transformer layers and a projection in float64, [frames, tokens], from the file's weights alone."""
    weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in onnx.load(HEAD).graph.initializer}

    def dense(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def norm(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        even = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return even * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = hidden[0].T.astype(np.float64)
    for layer in ("layer0", "layer1"):
        y = norm(f"{layer}.norm1", x)
        q, k, v = (np.split(dense(f"{layer}.{role}", y), HEADS, 1) for role in "qkv")
        scores = [a @ b.T * (WIDTH // HEADS) ** -0.5 for a, b in zip(q, k, strict=True)]
        mixed = [np.exp(log_softmax(s)) @ c for s, c in zip(scores, v, strict=True)]
        x = x + dense(f"{layer}.out", np.concatenate(mixed, 1))
        y = dense(f"{layer}.up", norm(f"{layer}.norm2", x))
        x = x + dense(f"{layer}.down", y * (1 + np.vectorize(erf)(y / np.sqrt(2))) / 2)
    return log_softmax(dense("logits", x))


def test_it_computes_two_layers_of_attention_of_the_wanted_frames(hidden: NDArray[np.float32]) -> None:
    head, expected = OnnxModel(HEAD, bounds=WANTED), reference(hidden)
    assert head.input_shape == (1, WIDTH, FRAMES) and head.output_shape == (1, FRAMES, TOKENS)
    for wanted in (slice(None), slice(60, 240), slice(165, 240), slice(0, 7), slice(3, 3)):
        found = head(hidden, wanted)
        assert found.shape == (1, *expected[wanted].shape)
        assert found[0] == pytest.approx(expected[wanted], abs=1e-3)


def test_the_last_layer_computes_no_other_frames_than_wanted(
    hidden: NDArray[np.float32], model: onnx.ModelProto
) -> None:
    limited = ["layer1.q", "layer1.scores", "layer1.out", "layer1.up", "layer1.sum", "logits"]
    whole = ["layer0.sum", "layer1.k", "layer1.v"]
    for name in (*limited, *whole):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    bounds = {name: np.array([at]) for name, at in zip(WANTED, (165, 240), strict=True)}
    shapes = [answer.shape for answer in session.run([*limited, *whole], {"hidden": hidden, **bounds})]
    assert [shape[-2] for shape in shapes[: len(limited)]] == [75] * len(limited)
    assert [shape[-2] for shape in shapes[len(limited) :]] == [FRAMES] * len(whole)


def test_a_head_of_all_frames_serves_too(hidden: NDArray[np.float32], model: onnx.ModelProto, tmp_path: Path) -> None:
    """As those that are cut from a source's graph: without optional inputs, and static throughout."""
    del model.graph.input[1:]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, [1, FRAMES, TOKENS]))
    onnx.save(model, tmp_path / "head.onnx")
    wanted = slice(60, 180)
    found = OnnxModel(tmp_path / "head.onnx", bounds=WANTED)(hidden, wanted)
    assert found == pytest.approx(OnnxModel(HEAD, bounds=WANTED)(hidden, wanted), abs=1e-4)


def contract(optional: tuple[str, ...], hidden: list[int], output: list[int | str]) -> onnx.ModelProto:
    """A graph with these inputs and this output; nothing else of it is looked at."""
    given = [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, hidden)]
    given += [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in optional]
    made = [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, output)]
    defaults = [numpy_helper.from_array(np.array([0]), name) for name in optional]
    return helper.make_model(helper.make_graph([], "head", given, made, defaults))


@pytest.mark.parametrize(
    ("optional", "hidden", "output", "fits"),
    [
        ((), [1, 8, 40], [1, 40, 3], True),
        (WANTED, [1, 8, 40], [1, "wanted", 3], True),
        (WANTED, [1, 8, 40], [1, "wanted", 4], False),
        (WANTED, [1, 8, 20], [1, "wanted", 3], False),
        ((), [1, 8, 40], [1, "wanted", 3], False),
        (("start",), [1, 8, 40], [1, "wanted", 3], False),
    ],
)
def test_a_trained_head_has_to_fit_the_source(
    optional: tuple[str, ...], hidden: list[int], output: list[int | str], fits: bool
) -> None:
    own, source = contract(optional, hidden, output), contract((), [1, 8, 40], [1, 40, 3])
    if fits:
        split._same_contract(own, source, HEAD)
    else:
        with pytest.raises(GraphError, match="train it again"):
            split._same_contract(own, source, HEAD)
