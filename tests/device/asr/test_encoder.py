"""The encoder in both interpreter packages, and the arithmetic at its borders."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.asr.encoder import Encoder, dequantize, quantize
from device.asr.features import LogMel
from device.inference.backends.cpu import CpuAccelerator
from device.inference.interpreter import PACKAGES, InterpreterError, Model, load_interpreter_module
from device.inference.onnx_model import OnnxModel
from models.bundle import Bundle, Tensor

INSTALLED = [package for package in PACKAGES if find_spec(package)]
SAMPLES = np.load(Path(__file__).parents[2] / "data" / "front_end.npz")["samples"]


@pytest.fixture(scope="module")
def windows(bundle: Path) -> list[np.ndarray]:
    """int8 windows of real speech."""
    opened = Bundle.open(bundle)
    d = opened.description
    frames = np.maximum(LogMel.of(opened).extract(np.tile(SAMPLES, 3)), d.front_end.feature_floor)
    count = d.window.frames
    return [quantize(frames[i : i + count], d.encoder_input).reshape(d.encoder_input.shape) for i in (0, 20, 50)]


def answers(bundle: Path, windows: list[np.ndarray], package: str, reference: bool) -> np.ndarray:
    model = Model(Bundle.open(bundle).path("encoder"), packages=(package,), reference=reference)
    return np.stack([model(window) for window in windows])


def test_the_lock_brings_every_package_there_is_for_this_python() -> None:
    assert set(INSTALLED) == set(PACKAGES) - ({"tflite_runtime"} if sys.version_info >= (3, 12) else set())


def test_the_packages_agree_to_the_bit(bundle: Path, windows: list[np.ndarray]) -> None:
    one, *others = (answers(bundle, windows, package, reference=True) for package in INSTALLED)
    assert one.dtype == np.int8 and one.std() > 5
    assert all((one == other).all() for other in others)


@pytest.mark.parametrize("package", INSTALLED)
def test_fast_kernels_round_differently_but_say_the_same(bundle: Path, windows: list[np.ndarray], package: str) -> None:
    opened = Bundle.open(bundle)
    fast = answers(bundle, windows, package, reference=False)
    exact = answers(bundle, windows, INSTALLED[0], reference=True)
    assert np.abs(fast.astype(int) - exact).mean() < 0.01 * 256
    encoder, phones = Encoder(opened, CpuAccelerator(opened.path("encoder"))), []
    for answer in (fast, exact):
        hidden = [dequantize(a, opened.description.encoder_output)[0, 0] for a in answer]
        phones.append(np.concatenate([encoder.head(h).argmax(1) for h in hidden]))
    assert (phones[0] == phones[1]).mean() > 0.93


def test_no_interpreter_and_no_model_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InterpreterError, match="pip install"):
        load_interpreter_module(("no_such_package",))
    (tmp_path / "text.tflite").write_text("not a model")
    for name in ("text.tflite", "missing.tflite"):
        for load in (Model, OnnxModel):
            with pytest.raises(InterpreterError) as raised:
                load(tmp_path / name)
            assert name in str(raised.value) and "\n" not in str(raised.value)


def test_the_head_takes_what_the_encoder_gives_and_adds_up_to_one(bundle: Path, windows: list[np.ndarray]) -> None:
    opened = Bundle.open(bundle)
    encoder = Encoder(opened, CpuAccelerator(opened.path("encoder")))
    mel = dequantize(windows[0], opened.description.encoder_input)[0, 0]
    hidden = encoder.hidden(mel)
    log_probs = encoder.head(hidden)
    assert hidden.shape == opened.description.encoder_output.shape[-2:]
    assert log_probs.shape == opened.description.head_output.shape[-2:]
    assert np.exp(log_probs).sum(1) == pytest.approx(1, abs=1e-4)
    assert len(set(log_probs.argmax(1))) > 5, "the head tells sounds apart"


@pytest.mark.parametrize("wanted", [slice(60, 240), slice(165, 240), slice(60, 180), slice(0, 1), slice(240, 240)])
def test_wanted_frames_are_those_of_all(bundle: Path, windows: list[np.ndarray], wanted: slice) -> None:
    opened = Bundle.open(bundle)
    encoder = Encoder(opened, CpuAccelerator(opened.path("encoder")))
    for window in windows:
        hidden = encoder.hidden(dequantize(window, opened.description.encoder_input)[0, 0])
        found, expected = encoder.head(hidden, wanted), encoder.head(hidden)[wanted]
        assert found.shape == expected.shape
        assert found == pytest.approx(expected, abs=1e-4)


@given(st.floats(1e-3, 10), st.integers(-128, 127), st.lists(st.floats(-1e3, 1e3, width=32), min_size=1))
def test_quantization_is_the_nearest_step_and_saturates(scale: float, zero: int, values: list[float]) -> None:
    tensor = Tensor((len(values),), "int8", scale, zero)
    x = np.array(values, np.float32)
    q = quantize(x, tensor)
    back = dequantize(q, tensor)
    low, high = (-128 - zero) * scale, (127 - zero) * scale
    inside = (x >= low) & (x <= high)
    assert (np.abs(back - x)[inside] <= scale * 0.501 + 1e-3).all()
    assert (q[x > high + scale] == 127).all() and (q[x < low - scale] == -128).all()
