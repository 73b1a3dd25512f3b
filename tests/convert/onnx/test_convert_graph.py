"""ONNX graphs cut and rewritten compute what they did before, or are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from convert.errors import GraphError
from convert.onnx import graph
from convert.onnx.conv2d import conv1d_to_conv2d, fuse_transposes, require_int8

QUARTZNET = Path(__file__).parents[2] / "data" / "quartznet" / "quartznet.onnx"
HIDDEN = "/encoder/encoder.5/Relu_output_0"


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return answer


def encoder(frames: int = 64) -> onnx.ModelProto:
    return graph.simplify(graph.extract(graph.load(QUARTZNET), {"audio_signal": (1, 80, frames)}, HIDDEN))


def model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], channels: int = 4) -> onnx.ModelProto:
    """x [1, channels, 8] -> y."""
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    whole = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(whole)


def test_lifted_encoder_computes_the_same_without_detours() -> None:
    float_encoder = encoder()
    lifted = conv1d_to_conv2d(float_encoder)
    require_int8(lifted)
    assert not {"Transpose", "MatMul", "BatchNormalization"} & {n.op_type for n in lifted.graph.node}
    x = np.random.default_rng(0).standard_normal((1, 80, 64)).astype(np.float32)
    expected, got = run(float_encoder, x), run(lifted, x[:, :, None])
    assert got.shape == (1, 48, 1, 32)
    np.testing.assert_allclose(got[:, :, 0], expected, atol=1e-4)


def test_the_cut_parts_together_are_the_whole() -> None:
    whole = graph.load(QUARTZNET)
    first = encoder()
    second = graph.simplify(graph.extract(whole, {HIDDEN: (1, 48, 32)}, "logprobs"))
    x = np.random.default_rng(1).standard_normal((1, 80, 64)).astype(np.float32)
    np.testing.assert_allclose(run(second, run(first, x)), run(whole, x), atol=1e-4)


@settings(max_examples=25)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_any_conv1d_lifts(kernel: int, stride: int, dilation: int, groups: int, padding: tuple[int, int]) -> None:
    if 8 + sum(padding) < dilation * (kernel - 1) + 1:
        return
    random = np.random.default_rng(kernel + 10 * stride + 100 * dilation)
    weight = random.standard_normal((8, 4 // groups, kernel)).astype(np.float32)
    bias = random.standard_normal(8).astype(np.float32)
    conv = helper.make_node(
        "Conv",
        ["x", "w", "b"],
        ["y"],
        kernel_shape=[kernel],
        strides=[stride],
        pads=list(padding),
        dilations=[dilation],
        group=groups,
    )
    flat = model([conv], {"w": weight, "b": bias})
    x = random.standard_normal((1, 4, 8)).astype(np.float32)
    np.testing.assert_allclose(run(conv1d_to_conv2d(flat), x[:, :, None])[:, :, 0], run(flat, x), atol=1e-5)


def test_mean_concat_and_constants_lift() -> None:
    scale = np.arange(4, dtype=np.float32)[:, None]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["x", "s"], ["p"]),
        helper.make_node("Sub", ["p", "m"], ["d"]),
        helper.make_node("Concat", ["d", "x"], ["y"], axis=1),
    ]
    flat = model(nodes, {"s": scale})
    x = np.random.default_rng(2).standard_normal((1, 4, 8)).astype(np.float32)
    np.testing.assert_allclose(run(conv1d_to_conv2d(flat), x[:, :, None])[:, :, 0], run(flat, x), atol=1e-6)


def test_straighten_keeps_what_leads_elsewhere() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Softmax", ["r"], ["y"], axis=-1),
    ]
    random = np.random.default_rng(3)
    constants = {
        "w": random.standard_normal((4, 5)).astype(np.float32),
        "b": random.standard_normal(5).astype(np.float32),
    }
    crooked = model(nodes, constants)
    straight = fuse_transposes(crooked)
    assert [n.op_type for n in straight.graph.node] == ["Conv", "Add", "Relu", "Transpose", "Softmax"]
    x = random.standard_normal((1, 4, 8)).astype(np.float32)
    np.testing.assert_allclose(run(straight, x), run(crooked, x), atol=1e-5)


def test_half_precision_becomes_single() -> None:
    weight = np.random.default_rng(4).standard_normal((4, 4, 3)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w"], ["c"], kernel_shape=[3]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    single = graph.float32(model(nodes, {"w": weight}))
    assert {t.data_type for t in single.graph.initializer} == {TensorProto.FLOAT}
    assert run(single, np.ones((1, 4, 8), np.float32)).shape == (1, 4, 6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an ONNX file"),
        (b"MZ" + bytes(100), "not an ONNX file"),
        (b"not a model\n" * 40, "not an ONNX file"),
        (QUARTZNET.read_bytes()[:-5000], "not a"),
        (QUARTZNET.read_bytes()[:60_000], "not a"),
    ],
    ids=["empty", "binary", "text", "cut near the end", "cut in the middle"],
)
def test_what_is_no_model_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=said) as caught:
        graph.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_tensors_are_named_with_near_ones() -> None:
    with pytest.raises(GraphError, match=r"no tensor '/encoder/encoder.5/Relu', .*cut.hidden.*Relu_output_0"):
        graph.require(graph.load(QUARTZNET), "/encoder/encoder.5/Relu", "cut.hidden")


def test_a_cut_that_leaves_inputs_open_names_them() -> None:
    inside_a_residual = "/encoder/encoder.2/body/body.1/Relu_output_0"
    with pytest.raises(GraphError, match=r"also on 'audio_signal'.*move the cut"):
        graph.extract(graph.load(QUARTZNET), {inside_a_residual: (1, 48, 32)}, "logprobs")


def test_shapes_that_depend_on_the_data_are_refused() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("NonZero", ["r"], ["n"]),
        helper.make_node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(GraphError, match=r"NonZero .*depends on the data.*static shapes"):
        graph.simplify(model(nodes, {}))


@pytest.mark.parametrize(("op", "said"), [("Softmax", "cannot be part of an encoder"), ("Erf", r"1\.702")])
def test_unsupported_operators_are_named(op: str, said: str) -> None:
    flat = model([helper.make_node(op, ["x"], ["y"], name="culprit")], {})
    with pytest.raises(GraphError, match=rf"{op} 'culprit'.*{said}"):
        require_int8(conv1d_to_conv2d(flat))
