"""A transformer's bundle: written whole, read back, and refused in a line where it is something else."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from moonshine_weights import WIDTH, weights

from convert.edgetpu.predict import mapping
from convert.transformer import report as report_of
from models import moonshine, pieces, transformer_bundle
from models.bundle import Bundle, BundleError, EdgeTpu, Licence
from models.pieces import Piece
from models.transformer_bundle import Description, TransformerBundle

ROOT = Path(__file__).parents[2]
DESCRIPTION = Description(
    "small",
    "nowhere",
    {"acoustic": Licence("MIT", "nowhere", ("MIT.txt",))},
    frames=16,
    layers=2,
    edge_tpu=EdgeTpu(False, "not compiled"),
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """What a bundle of two layers is made of; its models are only names."""
    place = tmp_path / "made"
    place.mkdir()
    names = moonshine.pieces(DESCRIPTION.layers)
    weights().save(place / "encoder.npz")
    ones = np.ones(WIDTH, np.float32)
    pieces.save({name: Piece(ones, 0, ones, ones) for name in names}, place / "pieces.npz")
    decoder = ("decoder_cross.onnx", "decoder_step.onnx", "decoder.bin")
    for name in (*decoder, "tokenizer.bin", "quality.json", "NOTICE", *(f"{name}.tflite" for name in names)):
        (place / name).write_text(name)
    return {**{path.name: path for path in place.iterdir()}, "LICENSES/MIT.txt": place / "NOTICE"}


def test_a_bundle_reads_back(files: dict[str, Path], tmp_path: Path) -> None:
    made = transformer_bundle.write(tmp_path / "bundle", DESCRIPTION, files)
    opened = TransformerBundle.open(tmp_path / "bundle")
    assert opened.description == made.description == DESCRIPTION
    assert opened.names == ["0.qkv", "0.o", "0.mlp", "1.qkv", "1.o", "1.mlp"]
    assert opened.piece("1.o").read_text() == "1.o.tflite"
    assert opened.weights().layers == DESCRIPTION.layers
    assert list(opened.pieces()) == opened.names
    assert (opened.decoder_cross.name, opened.decoder_step.name) == ("decoder_cross.onnx", "decoder_step.onnx")
    assert opened.tokenizer.name == "tokenizer.bin"
    with pytest.raises(BundleError, match=r"has no 0\.o_edgetpu\.tflite"):
        opened.piece("0.o", edge_tpu=True)


def test_what_is_missing_leaves_the_last_bundle_as_it_was(files: dict[str, Path], tmp_path: Path) -> None:
    transformer_bundle.write(tmp_path / "bundle", DESCRIPTION, files)
    before = {path.name: path.read_bytes() for path in (tmp_path / "bundle").rglob("*") if path.is_file()}
    compiled = dataclasses.replace(DESCRIPTION, edge_tpu=EdgeTpu(True, "edgetpu_compiler 16"))
    for wrong, given in ((compiled, files), (DESCRIPTION, {k: v for k, v in files.items() if k != "decoder.bin"})):
        with pytest.raises(BundleError, match="the bundle has no"):
            transformer_bundle.write(tmp_path / "bundle", wrong, given)
    with pytest.raises(BundleError, match="the last one is kept"):
        transformer_bundle.write(tmp_path / "bundle", DESCRIPTION, {**files, "NOTICE": tmp_path / "absent"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "bundle").rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "made"]


def altered(root: Path) -> None:
    (root / "0.o.tflite").write_text("other")


def gone(root: Path) -> None:
    (root / "decoder.bin").unlink()


def without_a_text(root: Path) -> None:
    (root / "LICENSES/MIT.txt").unlink()


def later(root: Path) -> None:
    described(root, format=99)


def first(root: Path) -> None:
    described(root, format=1)


def ctc(root: Path) -> None:
    described(root, kind="ctc", format=99)


def unknown(root: Path) -> None:
    described(root, colour="blue")


def nothing(root: Path) -> None:
    (root / "bundle.json").write_text("[]")


def described(root: Path, **changes: object) -> None:
    raw = json.loads((root / "bundle.json").read_text())
    raw["description"] |= changes
    (root / "bundle.json").write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (altered, "0.o.tflite: altered since"),
        (gone, "decoder.bin: missing"),
        (without_a_text, "LICENSES/MIT.txt: missing"),
        (later, "reads bundle format 3"),
        (first, "reads bundle format 3; build the bundle again"),
        (ctc, "of the kind 'ctc', but a 'transformer' one"),
        (unknown, "colour is unknown"),
        (nothing, "not a table"),
    ],
)
def test_another_bundle_is_refused_in_a_line(
    change: Callable[[Path], None], said: str, files: dict[str, Path], tmp_path: Path
) -> None:
    transformer_bundle.write(tmp_path / "bundle", DESCRIPTION, files)
    change(tmp_path / "bundle")
    with pytest.raises(BundleError) as caught:
        TransformerBundle.open(tmp_path / "bundle")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_program_for_ctc_bundles_says_that_this_is_none(files: dict[str, Path], tmp_path: Path) -> None:
    transformer_bundle.write(tmp_path / "bundle", DESCRIPTION, files)
    with pytest.raises(BundleError, match="of the kind 'transformer', but a 'ctc' one is needed"):
        Bundle.open(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("error", "wrong", "said"),
    [
        (0.04, {"float32": 3, "int8": 4}, None),
        (0.2, {}, "changes the encoder"),
        (0.04, {"float32": 3, "int8": 9}, "6.0%"),
    ],
)
def test_gates(error: float, wrong: dict[str, int], said: str | None) -> None:
    words = {"spoken": 100, "wrong": wrong} if wrong else {"skipped": "no recordings"}
    report = {"encoder_error": {"mean": error, "most": error}, "words": words, "seconds": 1}
    failures = list(report_of.failures(report))
    assert [said in failure for failure in failures] == [True] if said else not failures
    assert report_of.summary(report)


@pytest.mark.slow
def test_moonshine_is_built_and_fits_the_edge_tpu(second_bundle: Path) -> None:
    opened = TransformerBundle.open(second_bundle)
    assert (len(opened.names), opened.description.frames) == (18, 208)
    assert all(mapping.predict(opened.piece(name).read_bytes()).complete for name in opened.names)
    report = json.loads((second_bundle / "quality.json").read_text())
    assert 0.005 < report["encoder_error"]["mean"] < report_of.MAX_ERROR


def test_an_option_of_ctc_models_is_refused_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "convert/build.py", "--model", "moonshine-tiny", "--comparison", str(tmp_path)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert answer.returncode == 1
    assert "--comparison is for CTC models" in answer.stderr and answer.stderr.count("\n") == 1
