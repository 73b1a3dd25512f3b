"""Float layers to int8 pieces: what is folded changes nothing, what is rounded changes little."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto

from convert import subprocess_runner
from convert.edgetpu.predict import mapping
from convert.onnx import graph, runtime
from convert.quantization import ranges, tflite
from convert.transformer import recipe
from convert.transformer.weights import Linear, Mlp
from models import moonshine, pieces, tokenizer
from models.manifest import Pieces
from models.pieces import Float, Int8, Piece
from models.tokenizer import Tokenizer

WIDTH, INNER, FRAMES = 16, 48, 24
SETTINGS = Pieces(frames=FRAMES)


def values(*shape: int, seed: int = 0, spread: float = 1.0) -> Float:
    """Normal values whose channels differ in range, as those behind a layer norm with a gain do."""
    random = np.random.default_rng([seed, *shape])
    return (random.standard_normal(shape) * np.exp(spread * random.standard_normal(shape[-1]))).astype(np.float32)


def linear() -> Linear:
    return Linear(values(WIDTH, 3 * WIDTH, spread=0.3) / 4)


def mlp() -> Mlp:
    inner = values(WIDTH, INNER, spread=0.3) / 4
    return Mlp(inner, values(INNER, spread=0.3) / 4, values(INNER, WIDTH, spread=0.3) / 7, values(WIDTH) / 4)


def float_answer(model: ModelProto, x: Float) -> Float:
    """The folded graph in float on [FRAMES, in]."""
    (answer,) = runtime.run(runtime.session(model.SerializeToString()), x.T[None])
    return answer[0].T


def relative(answer: Float, expected: Float) -> float:
    return float(np.sqrt(np.square(answer - expected).sum() / np.square(expected).sum()))


def test_folding_a_linear_layer_changes_nothing() -> None:
    layer, x = linear(), values(500, WIDTH)
    folded = recipe.fold(layer, x, SETTINGS)
    answer = float_answer(folded.model, x[:FRAMES] / folded.divisor) * folded.scale + folded.offset
    np.testing.assert_allclose(answer, layer(x[:FRAMES]), atol=1e-4)


def test_outputs_have_headroom_over_those_on_calibration_speech() -> None:
    x = values(FRAMES, WIDTH)
    folded = recipe.fold(linear(), x, SETTINGS)
    peaks = np.abs(float_answer(folded.model, x / folded.divisor)).max(0)
    np.testing.assert_allclose(peaks, 1 / SETTINGS.headroom, atol=1e-4)


def test_ranges_reach_every_tensor_but_the_sigmoids_and_hold_the_outputs() -> None:
    folded = recipe.fold(mlp(), values(500, WIDTH), SETTINGS)
    known = ranges.declared(folded.model)
    assert known.keys() == {"x", "h", "g", "y"}
    assert known["h"][0] >= SETTINGS.floor * 1.703
    x = values(500, WIDTH)
    for start in range(0, 480, FRAMES):
        answer = float_answer(folded.model, x[start : start + FRAMES] / folded.divisor)
        assert np.abs(answer).max() < 1.2


def test_smoothing_brings_the_channels_of_an_input_nearer_to_each_other() -> None:
    x, weight = values(500, WIDTH, spread=2), linear().weight
    divisor = recipe.smoothing(x, weight, 0.5)
    peaks, smooth = np.abs(x).max(0), np.abs(x / divisor).max(0)
    assert smooth.max() / smooth.min() < peaks.max() / peaks.min() / 4
    assert divisor.mean() == pytest.approx(1)


@given(
    x=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50),
    low=st.floats(-50, -0.01),
    high=st.floats(0.01, 50),
)
def test_rounding_keeps_zero_and_errs_by_half_a_step_within_the_range(x: list[float], low: float, high: float) -> None:
    values, step = np.array(x, np.float32), (high - low) / 255
    answer = recipe.rounded(values, (low, high))
    assert recipe.rounded(np.zeros(1, np.float32), (low, high))[0] == 0
    inside = (values > low + step) & (values < high - step)
    assert np.abs(answer - values)[inside].max(initial=0) <= 0.501 * step + 1e-5
    assert answer.min() >= low - step and answer.max() <= high + step


def test_tails_leave_out_a_share_of_the_values_at_either_end() -> None:
    x = np.arange(-500, 500, dtype=np.float32)
    assert recipe.tails(x, 0) == (-500, 499)
    assert recipe.tails(x, 0.01) == (-491, 490)
    assert recipe.tails(np.array([3.0, 4.0], np.float32), 0)[0] < 0


def test_the_refit_recovers_weights_that_the_inputs_determine() -> None:
    g, weight, bias = values(2000, 8, spread=0.1), values(8, 3), values(3)
    y = g @ weight + bias
    fitted, offset = recipe.refitted(g, y, weight + 0.1, bias - 1, ridge=1e-6)
    np.testing.assert_allclose(fitted, weight, atol=1e-3)
    np.testing.assert_allclose(offset, bias, atol=1e-3)
    kept, _ = recipe.refitted(g, y, weight + 0.1, bias, ridge=1e6)
    np.testing.assert_allclose(kept, weight + 0.1, atol=1e-3)


@given(count=st.integers(0, 70))
def test_any_number_of_frames_is_run_in_calls_of_a_fixed_number(count: int) -> None:
    calls = []

    def invoke(x: Int8) -> Int8:
        calls.append(x.shape)
        return x

    piece = Piece(
        np.array([20, 40], np.float32), 3, np.array([0.05, 0.025], np.float32), np.full(2, -3 * 0.05) * [1, 0.5]
    )
    x = np.random.default_rng(count).uniform(-1, 1, (count, 2)).astype(np.float32)
    answer = piece.run(x, 16, invoke)
    assert answer.shape == x.shape
    np.testing.assert_allclose(answer, x, atol=0.026)
    assert calls == [(1, 1, 16, 2)] * -(-count // 16)


def test_pieces_read_back(tmp_path: Path) -> None:
    piece = Piece(values(4), -7, values(3), values(3, seed=1))
    pieces.save({"0.qkv": piece, "0.o": piece}, tmp_path / "pieces.npz")
    read = pieces.load(tmp_path / "pieces.npz")
    assert read.keys() == {"0.qkv", "0.o"}
    np.testing.assert_array_equal(read["0.o"].quantize(values(5, 4)), piece.quantize(values(5, 4)))
    np.testing.assert_array_equal(read["0.o"].output_offset, piece.output_offset)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One piece of each kind, converted as a build converts them."""
    place = tmp_path_factory.mktemp("pieces")
    unfitted = dataclasses.replace(SETTINGS, ridge=1e9)
    parts = {"0.qkv": (linear(), SETTINGS), "0.mlp": (mlp(), SETTINGS), "1.mlp": (mlp(), unfitted)}
    for name, (layer, settings) in parts.items():
        folded = recipe.fold(layer, values(2000, WIDTH, spread=0.3), settings)
        graph.save(folded.model, place / f"{name}.onnx")
        windows = np.resize(values(2000, WIDTH, spread=0.3) / folded.divisor, (2, FRAMES, WIDTH))
        np.savez(
            place / f"{name}.npz", windows=windows, divisor=folded.divisor, scale=folded.scale, offset=folded.offset
        )
    (place / "out").mkdir()
    subprocess_runner.run("convert.transformer.quantize:quantize_all", place, place / "out", log=place / "log")
    return place / "out"


def runner(model: Path) -> pieces.Invoke:
    interpreter = tflite.interpreter(model)

    def invoke(x: Int8) -> Int8:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        answer: Int8 = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return answer

    return invoke


@pytest.mark.parametrize(("name", "layer", "most"), [("0.qkv", linear(), 0.02), ("0.mlp", mlp(), 0.04)])
def test_an_int8_piece_answers_nearly_as_its_float_layer(
    converted: Path, name: str, layer: Linear | Mlp, most: float
) -> None:
    piece = pieces.load(converted / "pieces.npz")[name]
    x = values(2000, WIDTH, spread=0.3)[:100]
    answer = piece.run(x, FRAMES, runner(converted / f"{name}.tflite"))
    assert 0 < relative(answer, layer(x)) < most


def test_the_fitted_last_layer_makes_up_for_what_int8_loses_before_it(converted: Path) -> None:
    x, made = values(2000, WIDTH, spread=0.3), pieces.load(converted / "pieces.npz")
    fitted, unfitted = (
        relative(made[name].run(x, FRAMES, runner(converted / f"{name}.tflite")), mlp()(x))
        for name in ("0.mlp", "1.mlp")
    )
    assert fitted < unfitted


def test_pieces_are_operators_of_the_edge_tpu(converted: Path) -> None:
    expected = {"0.qkv": ["CONV_2D"], "0.mlp": ["CONV_2D", "LOGISTIC", "MUL", "CONV_2D"]}
    for name, ops in expected.items():
        prediction = mapping.predict((converted / f"{name}.tflite").read_bytes())
        assert prediction.complete
        assert [op.op for op in prediction.ops] == ops
    assert moonshine.pieces(1) == ["0.qkv", "0.o", "0.mlp"]


def test_tokens_are_read_back_from_their_lengths_and_spelled() -> None:
    known = [b"", b"<s>", b"</s>", "\u2581he".encode(), b"llo", "\u2581\u00e9".encode(), b"x" * 300]
    packed = b"".join(
        (bytes([len(t)]) if len(t) < 128 else bytes([128 + len(t) % 128, len(t) // 128])) + t for t in known
    )
    assert tokenizer.parse(packed) == known
    assert Tokenizer(known).text([3, 4, 5, 2]) == "hello \u00e9"
    for cut in (packed[:-1], bytes([200])):
        with pytest.raises(ValueError, match="ends within"):
            tokenizer.parse(cut)
