"""Reading compiled models: synthetic packages, Google's compiled pairs, and thousands of altered files."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import edgetpu_packages as packages
import pytest
from edgetpu_packages import (
    CACHED,
    INPUT,
    OUTPUT,
    RUN,
    ExecutableSpec,
    LayerSpec,
    PackageSpec,
    compiled_model,
)
from needs import SHARED_FOLDER

from convert.edgetpu.compiled import executable
from convert.edgetpu.compiled.flatbuffer import MalformedFile

ROOT = Path(__file__).parents[3]
TRUTH = SHARED_FOLDER / "edgetpu"
needs_truth = pytest.mark.shared


def read(*executables: ExecutableSpec, **fields: object) -> executable.CompiledModel:
    return executable.read(compiled_model(PackageSpec(executables=executables, **fields)))  # type: ignore[arg-type]


def test_a_cached_model_is_read_field_by_field() -> None:
    model = read(RUN, CACHED)
    (region,) = model.regions
    assert (region.op, region.minimum_runtime, region.compiler) == (0, 14, "cl/")
    assert region.chips == ("beagle (Edge TPU)",)
    assert [item.type for item in region.executables] == ["EXECUTION_ONLY", "PARAMETER_CACHING"]
    assert (region.cached_bytes, region.streamed_bytes, region.instruction_bytes) == (256, 0, 64 + 48)
    assert (region.input_bytes, region.output_bytes) == (256, 256)
    assert region.usb_bytes == 112 + 256 + 256
    (layer,) = region.executables[0].outputs
    assert (layer.name, layer.shape, layer.dtype) == ("hidden", (1, 32, 8), "SIGNED_FIXED_POINT8")
    assert (layer.zero_point, layer.scale, layer.tiles) == (128, 0.5, 4)
    assert region.executables[0].transfers == 2 and region.executables[0].deterministic
    assert list(model.warnings()) == []


def test_a_model_without_a_cache_streams_its_weights() -> None:
    alone = replace(RUN, type=packages.STAND_ALONE, parameters=100_000)
    model = read(alone)
    assert model.regions[0].streamed_bytes == 100_000
    assert any("streams 100,000 bytes" in warning for warning in model.warnings())


def test_a_single_row_output_that_wastes_tiles_is_warned_of() -> None:
    row = LayerSpec("row", (1, 512, 32), tile_grid=(1, 4))
    square = LayerSpec("square", (32, 32, 32), tile_grid=(4, 4))
    warnings = list(read(replace(RUN, outputs=(row, square)), CACHED).warnings())
    assert len(warnings) == 1 and "'row'" in warnings[0] and "4 of 16 tiles" in warnings[0]


def test_operators_left_on_the_cpu_are_named() -> None:
    model = executable.read(compiled_model(cpu_ops=("SOFTMAX", "ARG_MAX")))
    assert model.cpu_ops == ("SOFTMAX", "ARG_MAX")


@pytest.mark.parametrize(
    "wrong",
    [
        (CACHED,),
        (RUN, RUN),
        (RUN, CACHED, CACHED),
        (replace(RUN, instructions=(60,)), CACHED),
        (replace(RUN, instructions=()), CACHED),
        (replace(RUN, narrow=200_000), CACHED),
        (replace(RUN, type=7), CACHED),
        (replace(RUN, outputs=(replace(OUTPUT, size_bytes=8),)), CACHED),
        (replace(RUN, inputs=(replace(INPUT, scale=float("nan")),)), CACHED),
        (replace(RUN, inputs=(replace(INPUT, dtype=7),)), CACHED),
    ],
)
def test_what_no_driver_would_accept_is_refused(wrong: tuple[ExecutableSpec, ...]) -> None:
    with pytest.raises(MalformedFile):
        read(*wrong)


def test_another_package_identifier_is_refused() -> None:
    with pytest.raises(MalformedFile, match="DWN1"):
        read(RUN, CACHED, identifier=b"DWN2")


def test_a_model_that_was_never_compiled_is_told_apart() -> None:
    content = (ROOT / "tests/data/edgetpu/separable_block.tflite").read_bytes()
    with pytest.raises(executable.NotCompiled, match="compile it first"):
        executable.read(content)


def test_every_truncation_is_refused() -> None:
    content = compiled_model()
    for size in range(len(content.rstrip(b"\0")) + 1):
        with pytest.raises(MalformedFile):
            executable.read(content[:size])


def fuzz(count: int, paths: list[Path]) -> int:
    """How many altered files were read, each as a model or refused with one line."""
    command = [sys.executable, str(ROOT / "tests/support/edgetpu_fuzz.py"), str(count), *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
    altered, refused = re.findall(r"\d+", done.stdout)
    assert int(refused) > int(altered) / 4  # it did not just alter weights
    return int(altered)


def test_20000_altered_files_give_a_model_or_one_clear_error(tmp_path: Path) -> None:
    alone = replace(RUN, type=packages.STAND_ALONE, parameters=64)
    files = [
        compiled_model(),
        compiled_model(PackageSpec(executables=(alone,)), cpu_ops=("SOFTMAX",)),
        compiled_model(PackageSpec(executables=(replace(RUN, parameters=64), CACHED, alone), chips=())),
    ]
    for number, content in enumerate(files):
        (tmp_path / f"{number}.tflite").write_bytes(content)
    assert fuzz(20_000, sorted(tmp_path.iterdir())) >= 20_000


def test_altered_source_models_are_predicted_or_refused() -> None:
    assert fuzz(3_000, sorted((ROOT / "tests/data/edgetpu").glob("*.tflite"))) >= 3_000


@needs_truth
def test_altered_real_compiled_models_give_a_model_or_one_clear_error() -> None:
    assert fuzz(1_500, sorted(TRUTH.glob("pairs/*_edgetpu.tflite"))) >= 1_500


@needs_truth
def test_truncated_real_compiled_models_are_refused() -> None:
    places = random.Random(3)
    for path in sorted(TRUTH.glob("pairs/*_edgetpu.tflite")):
        content = path.read_bytes()
        for _ in range(25):
            with pytest.raises(MalformedFile):
                executable.read(content[: places.randrange(len(content))])


@needs_truth
def test_fields_of_the_compiled_pairs() -> None:
    """Against a reader generated by flatc (oracle.md), field by field."""
    for record in json.loads((TRUTH / "pairs.json").read_text()):
        model = executable.read((TRUTH / "pairs" / f"{record['file']}_edgetpu.tflite").read_bytes())
        left = sum(record["ops_left_on_cpu"].values())
        assert len(model.cpu_ops) == left
        for region, wanted in zip(model.regions, record["compiled"], strict=True):
            assert (region.op, region.minimum_runtime) == (wanted["op"], wanted["min_runtime"])
            assert (region.compiler, region.package_bytes) == (
                wanted["compiler_version"],
                wanted["package_bytes"],
            )
            for item, expected in zip(region.executables, wanted["executables"], strict=True):
                assert item.type == expected["type"]
                assert list(item.instruction_bytes) == expected["bitstream_bytes"]
                assert item.parameter_bytes == expected["parameter_bytes"]
                assert item.scratch_bytes == expected["scratch_bytes"]
                assert item.narrow_bytes_per_tile == expected["narrow_bytes_per_tile"]
                assert item.estimated_cycles == (expected["est_cycles_64"] or expected["est_cycles"])
                assert item.caching_token == expected["token"]
                assert item.deterministic == expected["deterministic"]
                for layers, key in ((item.inputs, "in_layers"), (item.outputs, "out_layers")):
                    assert [[x.name, x.size_bytes, list(x.shape), x.dtype] for x in layers] == expected[key]
                assert sum(x.transfer_bytes for x in item.inputs) == expected["in_bytes"]
                assert sum(x.transfer_bytes for x in item.outputs) == expected["out_bytes"]
