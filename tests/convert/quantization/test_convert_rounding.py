"""How a processor rounds decides nothing about a converted encoder: only the last digits of its numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper
from quantized_graphs import differences, graph_of, largest_step

from convert.onnx import graph

ROOT = Path(__file__).parents[3]
CALIBRATION = ROOT / "models" / "base" / "calibration.npz"

ROUNDINGS = {
    "as it is": {},
    "one thread, no oneDNN": {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_ENABLE_ONEDNN_OPTS": "0"},
    "no AVX2 in numpy": {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
}


def quantized(encoder: Path, calibration: Path, out: Path, environment: dict[str, str]) -> bytes:
    """The int8 encoder of the float one, converted in a process of its own under `environment`."""
    out.mkdir()
    command = "from convert.quantization.quantize import quantize; import sys; quantize(*sys.argv[1:])"
    words = [sys.executable, "-c", command, str(encoder), str(calibration), "0.0002", str(out)]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return (out / "encoder.tflite").read_bytes()


def disturbed(encoder: Path, target: Path, seed: int) -> Path:
    """The encoder with each weight changed by a few units in its last place."""
    model, random = graph.load(encoder), np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.size > 1:
            noise = 1 + np.float32(2**-22) * random.standard_normal(value.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value * noise, tensor.name))
    onnx.save(model, target)
    return target


def disturbed_windows(target: Path, seed: int) -> Path:
    with np.load(CALIBRATION) as arrays:
        windows = arrays["log_mel"].astype(np.float32)
    noise = 1 + 1e-6 * np.random.default_rng(seed).standard_normal(windows.shape).astype(np.float32)
    np.savez(target, log_mel=windows * noise)
    return target


@pytest.mark.slow
def test_weights_inputs_and_threads_that_round_otherwise_give_the_same_graph(tmp_path: Path) -> None:
    encoder = ROOT / "models" / "base" / "encoder.onnx"
    expected = quantized(encoder, CALIBRATION, tmp_path / "expected", {})
    for number, (name, environment) in enumerate(ROUNDINGS.items()):
        made = quantized(
            disturbed(encoder, tmp_path / f"{number}.onnx", number),
            disturbed_windows(tmp_path / f"{number}.npz", number),
            tmp_path / str(number),
            environment,
        )
        assert not differences(graph_of(expected), graph_of(made)), name
        assert largest_step(expected, made) <= 1, name


def _content(model: Any, tensor: Any) -> bool:
    return model.buffers[tensor.buffer].data is not None


def test_the_comparison_tells_another_graph_and_other_weights(bundle: Path) -> None:
    content = (bundle / "encoder.tflite").read_bytes()

    def changed(change: Sequence[str]) -> bytes:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        (subgraph,) = model.subgraphs
        if "wiring" in change:
            add = next(op for op in subgraph.operators if len(op.inputs) == 2 and op.inputs[0] != op.inputs[1])
            add.inputs = add.inputs[::-1]
        if "weight" in change:
            kernel = next(t for t in subgraph.tensors if t.type == schema.TensorType.INT8 and _content(model, t))
            values = np.array(model.buffers[kernel.buffer].data)
            values[0] ^= 0x10
            model.buffers[kernel.buffer].data = values
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    assert not differences(graph_of(content), graph_of(changed([]))) and largest_step(content, changed([])) == 0
    assert differences(graph_of(content), graph_of(changed(["wiring"])))
    assert largest_step(content, changed(["weight"])) > 1
