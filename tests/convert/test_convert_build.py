"""The build command, run as a user runs it: bundles, second runs, and everything that can go wrong."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from convert.edgetpu.predict.mapping import predict
from device.asr.factory import FloatEncoder
from device.inference.onnx_model import OnnxModel
from models.bundle import Bundle

ROOT = Path(__file__).parents[2]
COMPARED = ("onnx_encoder", "onnx_encoder_int8")
QUARTZNET = Path(__file__).parents[1] / "data" / "quartznet"


def build(*arguments: str | Path, cache: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs the build; `options` go to subprocess.run."""
    command = [sys.executable, "convert/build.py", "--cache", str(cache), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload, no-any-return]


def quartznet(
    onnx_file: Path,
    out: Path,
    cache: Path,
    *more: str | Path,
    manifest: Path = QUARTZNET / "model.toml",
    **options: object,
) -> subprocess.CompletedProcess[str]:
    return build(
        "--force",  # its weights are random
        "--onnx",
        onnx_file,
        "--manifest",
        manifest,
        "--out",
        out,
        "--compiler",
        "none",
        *more,
        cache=cache,
        **options,
    )


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Bundle and cache of quartznet.onnx built with its manifest, and what the build printed."""
    place = tmp_path_factory.mktemp("quartznet")
    answer = quartznet(QUARTZNET / "quartznet.onnx", place / "bundle", place / "cache")
    assert answer.returncode == 0, answer.stderr
    return place / "bundle", place / "cache", answer.stdout


def assert_refused(answer: subprocess.CompletedProcess[str], *said: str) -> None:
    """One line that says all of `said`, and exit status 1."""
    assert answer.returncode == 1, answer.stdout + answer.stderr
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    for text in said:
        assert text in lines[0]


@pytest.mark.slow
def test_base_bundle_is_whole_and_fits_the_edge_tpu(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    description = opened.description
    assert description.encoder_input.shape == (1, 1, 480, 80)
    assert description.encoder_input.dtype == description.encoder_output.dtype == "int8"
    assert description.head_output.shape[-1] == len(opened.tokens()) == 191
    assert (opened.tokens()[description.blank], opened.tokens()[description.boundary or 0]) == ("<blank>", "<wb>")
    prediction = predict(opened.path("encoder").read_bytes())
    assert prediction.complete
    assert sum(op.op == "DEPTHWISE_CONV_2D" for op in prediction.ops) == 11
    assert prediction.budget.parameters.likely < 6.9 * (1 << 20)


@pytest.mark.slow
def test_base_quality_is_measured_and_within_its_gates(bundle: Path) -> None:
    report = json.loads(Bundle.open(bundle).path("quality").read_text())
    cost = report["int8_against_source"]["changed"] - report["float32_against_source"]["changed"]
    assert 0 < report["int8_against_float32"]["changed"] < 0.15
    assert cost <= 0.04
    assert len(report["layers"]) == 103


@pytest.mark.slow
def test_second_run_does_nothing_again(bundle: Path) -> None:
    before = {p.name: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    answer = build("--out", bundle, cache=ROOT / ".cache" / "convert")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("unchanged") >= 6
    assert {p.name: p.read_bytes() for p in bundle.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_a_model_of_ones_own_is_mapped_whole_and_heard_like_float(brought: tuple[Path, Path, str]) -> None:
    opened = Bundle.open(brought[0])
    prediction = predict(opened.path("encoder").read_bytes())
    assert prediction.complete
    assert sum(op.op == "DEPTHWISE_CONV_2D" for op in prediction.ops) == 6
    report = json.loads(opened.path("quality").read_text())
    assert report["int8_against_float32"]["frames"] > 0.9
    assert opened.description.unit == "char"
    with np.load(opened.path("lexicon")) as lexicon:
        assert len(lexicon["ends"]) > 1000


def test_without_a_compiler_the_build_says_how_to_get_one(brought: tuple[Path, Path, str]) -> None:
    bundle, _, printed = brought
    assert not Bundle.open(bundle).has("encoder_edgetpu")
    assert "install-compiler" in printed
    assert "install-compiler" in Bundle.open(bundle).description.edge_tpu.detail


def test_require_coral_without_a_compiler_is_an_error(brought: tuple[Path, Path, str]) -> None:
    bundle, cache, _ = brought
    assert_refused(
        quartznet(QUARTZNET / "quartznet.onnx", bundle, cache, "--require-coral"), "--require-coral", "install-compiler"
    )


@pytest.mark.parametrize(
    ("scenario", "said"),
    [("internal", "the compiler refused encoder.tflite"), ("gibberish", "something nobody has seen before")],
)
def test_a_compiler_that_refuses_fails_the_build(
    scenario: str, said: str, brought: tuple[Path, Path, str], tmp_path: Path
) -> None:
    bundle, cache, _ = brought
    compiler = tmp_path / "edgetpu_compiler"
    stand_in = Path(__file__).parents[1] / "support" / "edgetpu_fake_compiler.py"
    compiler.write_text(f'#!/bin/sh\nFAKE_SCENARIO={scenario} exec "{sys.executable}" "{stand_in}" "$@"\n')
    compiler.chmod(0o755)
    assert_refused(quartznet(QUARTZNET / "quartznet.onnx", bundle, cache, "--compiler", compiler), said)
    assert not Bundle.open(bundle).has("encoder_edgetpu")


def test_a_compiler_that_is_not_there_is_named(brought: tuple[Path, Path, str], tmp_path: Path) -> None:
    bundle, cache, _ = brought
    assert_refused(
        quartznet(QUARTZNET / "quartznet.onnx", bundle, cache, "--compiler", tmp_path / "none"),
        str(tmp_path / "none"),
        "is no executable file",
    )


def altered(change: Callable[[onnx.ModelProto], None], path: Path) -> Path:
    model = onnx.load(QUARTZNET / "quartznet.onnx")
    change(model)
    onnx.save(model, path)
    return path


def with_softmax(model: onnx.ModelProto) -> None:
    """An operator in the middle of the encoder that the Edge TPU cannot have there."""
    for node in model.graph.node:
        if node.name == "/encoder/encoder.3/Relu":
            node.op_type = "Softmax"
            node.attribute.append(helper.make_attribute("axis", -1))


def with_nan(model: onnx.ModelProto) -> None:
    """A weight of the encoder that diverged in training."""
    weight = next(t for t in model.graph.initializer if len(t.dims) == 3)
    value = onnx.numpy_helper.to_array(weight).copy()
    value.flat[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(value, weight.name))


def with_dynamic_shape(model: onnx.ModelProto) -> None:
    """An encoder whose output is as long as its input has positive values."""
    for node in model.graph.node:
        node.input[:] = ["gone" if name == "/encoder/encoder.3/Relu_output_0" else name for name in node.input]
    place = next(i for i, n in enumerate(model.graph.node) if n.name == "/encoder/encoder.3/Relu")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2, np.int64), "axis"))
    for offset, node in enumerate(
        [
            helper.make_node("ReduceMax", ["/encoder/encoder.3/Relu_output_0"], ["loud"], axes=[0, 1], keepdims=0),
            helper.make_node("NonZero", ["loud"], ["where"]),
            helper.make_node("Squeeze", ["where"], ["index"]),
            helper.make_node("Gather", ["/encoder/encoder.3/Relu_output_0", "index"], ["gone"], axis=2, name="pick"),
        ]
    ):
        model.graph.node.insert(place + 1 + offset, node)


def after_first_relu(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """`nodes`, from "x" to "y", behind the first ReLU of the encoder."""
    source = "/encoder/encoder.1/Relu_output_0"
    place = next(i for i, node in enumerate(model.graph.node) if node.output[0] == source) + 1
    for node in model.graph.node[place:]:
        node.input[:] = ["y" if name == source else name for name in node.input]
    for offset, node in enumerate(nodes):
        node.input[:] = [source if name == "x" else name for name in node.input]
        model.graph.node.insert(place + offset, node)


def with_group_norm(model: onnx.ModelProto) -> None:
    for name, value in (("gain", np.ones(48, np.float32)), ("bias", np.zeros(48, np.float32))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    node = helper.make_node("GroupNormalization", ["x", "gain", "bias"], ["y"], name="/norm", num_groups=4)
    after_first_relu(model, [node])
    model.opset_import[0].version, model.ir_version = 21, 10


def with_group_norm_in_parts(model: onnx.ModelProto) -> None:
    """As PyTorch exports it up to opset 17."""
    groups, gain, bias = np.array([0, 4, -1], np.int64), np.ones(4, np.float32), np.zeros(4, np.float32)
    for name, value in (("groups", groups), ("gain", gain), ("bias", bias)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    after_first_relu(
        model,
        [
            helper.make_node("Reshape", ["x", "groups"], ["grouped"], name="/norm/group"),
            helper.make_node("InstanceNormalization", ["grouped", "gain", "bias"], ["even"], name="/norm/instance"),
            helper.make_node("Shape", ["x"], ["shape"], name="/norm/shape"),
            helper.make_node("Reshape", ["even", "shape"], ["y"], name="/norm/ungroup"),
        ],
    )


def with_colons(model: onnx.ModelProto) -> None:
    """Tensor names as TensorFlow's exporters write them."""
    outside = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in outside else f"{name}:0" for name in names]
    for tensor in model.graph.initializer:
        tensor.name += ":0"
    del model.graph.value_info[:]


def with_stride_and_dilation(model: onnx.ModelProto) -> None:
    for attribute in model.graph.node[0].attribute:
        if attribute.name in ("dilations", "pads"):
            attribute.ints[:] = [2 * n for n in attribute.ints]
    del model.graph.value_info[:]


@pytest.mark.slow
@pytest.mark.parametrize("change", [with_colons, with_stride_and_dilation])
def test_a_good_model_of_another_exporter_builds(
    change: Callable[[onnx.ModelProto], None], brought: tuple[Path, Path, str], tmp_path: Path
) -> None:
    model = altered(change, tmp_path / "m.onnx")
    text = (QUARTZNET / "model.toml").read_text().replace("../../../models", str(ROOT / "models"))
    if change is with_colons:
        text = text.replace('Relu_output_0"', 'Relu_output_0:0"')
    (tmp_path / "model.toml").write_text(text)
    answer = quartznet(model, tmp_path / "bundle", brought[1], manifest=tmp_path / "model.toml")
    assert answer.returncode == 0, answer.stderr
    opened = Bundle.open(tmp_path / "bundle")
    assert predict(opened.path("encoder").read_bytes()).complete
    report = json.loads(opened.path("quality").read_text())
    assert report["int8_against_float32"]["frames"] > 0.85


def test_a_model_that_hears_nothing_fails_the_build(brought: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, cache, printed = brought
    assert "kept by --force: the model recognises too little" in printed
    arguments = ("--onnx", QUARTZNET / "quartznet.onnx", "--manifest", QUARTZNET / "model.toml", "--compiler", "none")
    assert_refused(build(*arguments, "--out", tmp_path / "out", cache=cache), "recognises too little", "front_end")
    assert not (tmp_path / "out").exists()


BAD_MODELS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "no ONNX": (lambda d: _write(d, b"hello " * 50), ("not an ONNX file", "export or fetch it again")),
    "cut short": (lambda d: _write(d, (QUARTZNET / "quartznet.onnx").read_bytes()[:70_000]), ("cut short",)),
    "weight that is no number": (lambda d: altered(with_nan, d / "m.onnx"), ("answer otherwise", "NaN")),
    "group normalization": (
        lambda d: altered(with_group_norm, d / "m.onnx"),
        ("GroupNormalization '/norm'", "BatchNorm"),
    ),
    "group normalization in parts": (
        lambda d: altered(with_group_norm_in_parts, d / "m.onnx"),
        ("InstanceNormalization '/norm/instance'", "BatchNorm"),
    ),
    "missing": (lambda d: d / "none.onnx", ("none.onnx", "no such file")),
    "unsupported operator": (lambda d: altered(with_softmax, d / "m.onnx"), ("Softmax", "/encoder/encoder.3/Relu")),
    "dynamic shape": (lambda d: altered(with_dynamic_shape, d / "m.onnx"), ("static shapes",)),
}


def _write(folder: Path, content: bytes) -> Path:
    (folder / "m.onnx").write_bytes(content)
    return folder / "m.onnx"


@pytest.mark.parametrize("fault", BAD_MODELS)
def test_bad_models_are_one_line_and_keep_the_last_bundle(
    fault: str, brought: tuple[Path, Path, str], tmp_path: Path
) -> None:
    bundle, cache, _ = brought
    before = {p.name: p.stat().st_mtime_ns for p in bundle.iterdir()}
    make, said = BAD_MODELS[fault]
    assert_refused(quartznet(make(tmp_path), bundle, cache), *said)
    assert {p.name: p.stat().st_mtime_ns for p in bundle.iterdir()} == before
    Bundle.open(bundle)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'hidden = "/encoder/encoder.5/Relu_output_0"',
            'hidden = "/encoder/encoder.5/Relu_output_1"',
            ("cut.hidden", "near: /encoder/encoder.5/Relu_output_0"),
        ),
        ('"z", "\'"]', '"z"]', ("29 posteriors", "28 tokens")),
        ("stride = 2", "stride = 4", ("cut.hidden", "window.stride")),
        ("mels = 80", "mels = 64", ("front_end.mels = 64", "C: 64")),
        ("fft = 400", "fft = 400\nsample_rate = 8000", ("filters.high_hz", "8000", "half of front_end.sample_rate")),
        ('sha256 = "', 'sha256 = "0', ("SHA-256", "calibration.npz")),
    ],
    ids=["missing tensor", "tokens", "stride", "mels", "sample rate", "wrong hash"],
)
def test_manifests_that_do_not_fit_the_model_are_one_line(
    old: str, new: str, said: tuple[str, ...], brought: tuple[Path, Path, str], tmp_path: Path
) -> None:
    text = (QUARTZNET / "model.toml").read_text()
    text = text.replace("../../../models", str(ROOT / "models"))
    assert old in text
    path = tmp_path / "model.toml"
    path.write_text(text.replace(old, new))
    bundle, cache, _ = brought
    assert_refused(quartznet(QUARTZNET / "quartznet.onnx", bundle, cache, manifest=path), *said)
    Bundle.open(bundle)


def test_a_full_disk_is_one_line_and_keeps_the_last_bundle(brought: tuple[Path, Path, str], tmp_path: Path) -> None:
    bundle, _, _ = brought

    def small() -> None:  # no file may grow beyond this, as on a disk with so much left
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    answer = quartznet(QUARTZNET / "quartznet.onnx", bundle, tmp_path / "cache", preexec_fn=small)
    assert_refused(answer, "File too large", "the last bundle is as it was")
    Bundle.open(bundle)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.name.startswith("split")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_an_interrupted_build_loses_nothing(
    number: signal.Signals, brought: tuple[Path, Path, str], tmp_path: Path
) -> None:
    bundle, _, _ = brought
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        [
            sys.executable,
            "convert/build.py",
            "--cache",
            str(cache),
            "--onnx",
            str(QUARTZNET / "quartznet.onnx"),
            "--manifest",
            str(QUARTZNET / "model.toml"),
            "--out",
            str(bundle),
            "--compiler",
            "none",
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not list(cache.glob(".part-*-quantize")):
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and not children.read_text().split():
        time.sleep(0.02)
    worker = int(children.read_text().split()[0])
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Traceback" not in said
    Bundle.open(bundle)
    while Path(f"/proc/{worker}").exists() and _state(worker) != "Z":
        time.sleep(0.02)
    assert list(cache.glob("split-*"))
    assert not list(cache.glob("quantize-*"))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_comparison_holds_the_source_in_float_and_in_int8(brought: tuple[Path, Path, str], tmp_path: Path) -> None:
    """ONNX Runtime's int8 encoder answers nearly as the float one, on a window of speech; both fit the float head."""
    _, cache, _ = brought
    answer = quartznet(QUARTZNET / "quartznet.onnx", tmp_path / "made", cache, "--comparison", tmp_path / "comparison")
    assert answer.returncode == 0, answer.stderr
    made = Bundle.open(tmp_path / "comparison")
    assert made.description.encoder_input.dtype == "float32" and not made.has("encoder")
    assert Bundle.open(tmp_path / "made").description.encoder_input.dtype == "int8"
    _, _, frames, mels = made.description.encoder_input.shape
    with np.load(ROOT / "models" / "base" / "calibration.npz") as arrays:
        window = arrays["log_mel"][0, :frames].astype(np.float32)
    assert window.shape[1] == mels
    float32, int8 = (FloatEncoder(made.path(r), 1).invoke(window[None, None]) for r in COMPARED)
    assert float32.shape == int8.shape == made.description.encoder_output.shape
    assert 0 < np.abs(int8 - float32).mean() < 0.1 * np.abs(float32).mean()
    assert OnnxModel(made.path("head"))(float32[0].swapaxes(1, 2)).shape == made.description.head_output.shape
