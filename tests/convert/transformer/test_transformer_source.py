"""Moonshine's weights: out of ONNX Runtime's own format, and into a float encoder that answers as the graph does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime import quantization

from convert import fetch
from convert.errors import GraphError
from convert.onnx import graph, runtime
from convert.quality import recordings
from convert.transformer import fold, ort_format, weights
from models import manifest
from models.manifest import ManifestError, TransformerManifest

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "models" / "moonshine-tiny" / "model.toml"


def product(branches: bool = False) -> ModelProto:
    """x [T, 8] @ w + b, through an If whose branches read w from around it where `branches`."""
    random = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(random.standard_normal((8, 5)).astype(np.float32), "w"),
        numpy_helper.from_array(random.standard_normal(5).astype(np.float32), "b"),
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"], "p"), helper.make_node("Add", ["p", "b"], ["s"], "s")]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["T", c]) for n, c in (("x", 8), ("y", 5)))
    inputs = [x]
    if branches:
        inputs.append(helper.make_tensor_value_info("positive", TensorProto.BOOL, []))
        parts = [
            helper.make_graph(
                [helper.make_node(op, ["s"], ["r"], op)],
                op,
                [],
                [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
            )
            for op in ("Abs", "Neg")
        ]
        nodes.append(helper.make_node("If", ["positive"], ["y"], "if", then_branch=parts[0], else_branch=parts[1]))
    else:
        nodes.append(helper.make_node("Relu", ["s"], ["y"], "y"))
    made = helper.make_graph(nodes, "g", inputs, [y], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def as_ort(model: Path, target: Path) -> Path:
    """The model as ONNX Runtime optimizes and saves it in its own format."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return target


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product, its weights in dynamic int8, in .ort."""
    place = tmp_path_factory.mktemp("ort")
    onnx.save(product(), place / "float.onnx")
    quantization.quantize_dynamic(place / "float.onnx", place / "int8.onnx", weight_type=quantization.QuantType.QUInt8)
    return as_ort(place / "int8.onnx", place / "int8.ort")


def x(rows: int = 6) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).standard_normal((rows, 8)).astype(np.float32)


def test_a_graph_reads_back_as_it_was_saved(quantized: Path) -> None:
    read = ort_format.load(quantized)
    assert any(node.op_type in ort_format.PRODUCTS for node in read.graph.node)
    (expected,), (answer,) = (runtime.run(runtime.session(m), x()) for m in (quantized, read.SerializeToString()))
    np.testing.assert_array_equal(answer, expected)


def test_dequantized_differs_from_the_float_source_by_its_weights_rounding_alone(quantized: Path) -> None:
    plain = ort_format.dequantized(ort_format.load(quantized))
    assert not [node for node in plain.graph.node if "Quantize" in node.op_type or "Integer" in node.op_type]
    w = numpy_helper.to_array(product().graph.initializer[0])
    (held,) = (value for value in graph.tensors(plain).values() if value.shape == w.shape)
    step = (max(w.max(), 0) - min(w.min(), 0)) / 255
    assert 0 < np.abs(held - w).max() <= 0.51 * step
    (expected,) = runtime.run(runtime.session(product().SerializeToString()), x())
    (answer,) = runtime.run(runtime.session(plain.SerializeToString()), x())
    np.testing.assert_allclose(answer, expected, atol=8 * 4 * step)
    b = numpy_helper.to_array(product().graph.initializer[1])
    np.testing.assert_allclose(answer, np.maximum(x() @ held + b, 0), atol=1e-5)


def test_branches_are_read_too(tmp_path: Path) -> None:
    onnx.save(product(branches=True), tmp_path / "model.onnx")
    read = ort_format.load(as_ort(tmp_path / "model.onnx", tmp_path / "model.ort"))
    session = runtime.session(read.SerializeToString())
    same = runtime.session(product(branches=True).SerializeToString())
    for positive in (True, False):
        feeds = {"x": x(), "positive": np.array(positive)}
        np.testing.assert_allclose(session.run(None, feeds)[0], same.run(None, feeds)[0], atol=1e-6)


def test_another_file_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.ort").write_bytes(b"PK\x03\x04 no such thing")
    with pytest.raises(GraphError, match=r"a\.ort: not an ONNX Runtime model"):
        ort_format.load(tmp_path / "a.ort")


@given(share=st.floats(0, 0.9999))
def test_a_file_that_is_cut_short_is_refused_in_a_line_or_lacks_nothing(quantized: Path, share: float) -> None:
    content = quantized.read_bytes()
    short = quantized.with_name("short.ort")
    short.write_bytes(content[: int(share * len(content))])
    try:
        read = ort_format.load(short)
    except GraphError as error:
        assert str(error).startswith(str(short)) and "fetch it again" in str(error) and "\n" not in str(error)
    else:  # the end of the file is of no use to the graph
        assert read == ort_format.load(quantized)


def test_a_network_of_another_kind_is_refused(quantized: Path) -> None:
    with pytest.raises(GraphError, match="is it Moonshine's"):
        weights.read(ort_format.dequantized(ort_format.load(quantized)), heads=8)


@pytest.mark.slow
def test_the_float_encoder_answers_as_moonshines_graph_on_speech() -> None:
    chosen = manifest.load_any("moonshine-tiny")
    assert isinstance(chosen, TransformerManifest)
    plain = ort_format.dequantized(ort_format.load(fetch.fetch(chosen, "encoder")))
    encoder = weights.read(plain, chosen.encoder.heads)
    assert (encoder.weights.layers, encoder.weights.width) == (6, 288)
    samples = recordings.read(fetch.fetch(chosen, "beckett"), 16_000)
    feeds = {"input_values": samples[None], "attention_mask": np.ones((1, len(samples)), np.int64)}
    (expected,) = runtime.session(plain.SerializeToString()).run(None, feeds)
    answer = encoder(samples)
    assert np.abs(answer - expected[0]).max() < 1e-3
    with pytest.raises(GraphError, match=r"encoder\.heads"):
        weights.read(plain, 7)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "transformer"', 'kind = "rnn"', "kind = 'rnn': must be ctc or transformer"),
        ('kind = "transformer"', "", "encoder = {'heads': 8}: unknown key"),
        ("heads = 8", "heads = 0", "encoder.heads = 0: must be positive"),
        ("frames = 208", "", "pieces.frames is missing"),
        ('"beckett"]', '"krapp"]', "calibration.assets = 'krapp': is not among source.assets"),
        ("[source.assets.decoder]", "[source.assets.other]", "has no decoder"),
        ("frames = 208", "frames = 208\nsmoothing = 1.5", "pieces.smoothing = 1.5: must lie between 0 and 1"),
    ],
)
def test_mistakes_in_the_manifest_name_file_key_and_value(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = MODEL.read_text()
    assert old in text
    path = tmp_path / "model.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError) as caught:
        manifest.read_any(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_transformer_is_no_ctc_model() -> None:
    with pytest.raises(ManifestError, match="no CTC model"):
        manifest.load("moonshine-tiny")


@pytest.mark.parametrize(("seconds", "expected"), [(10.5, [3, 3, 3, 1.5]), (9.5, [3, 3, 3]), (0.5, [])])
def test_calibration_speech_is_cut_and_scraps_are_left_out(
    seconds: float, expected: list[float], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "speech.wav", np.zeros(int(seconds * 8000)), 8000)
    parts = list(fold.cut([tmp_path / "speech.wav"], 3.0))
    assert [len(part) / 16_000 for part in parts] == expected
