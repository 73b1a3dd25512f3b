"""The encoder that the repository ships: what the build makes, fit for machines without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quantized_graphs import differences, graph_of, largest_step

from convert import prebuilt
from convert.errors import SourceError
from convert.quality import recordings
from convert.transformer import decoder_graph
from models import manifest
from models.bundle import Bundle
from models.manifest import Manifest, TransformerManifest
from models.moonshine import Weights
from models.transformer_bundle import TransformerBundle

ROOT = Path(__file__).parents[2]
CONVERSION_ONLY = ("tensorflow", "onnx2tf", "onnx", "onnxsim", "keras", "tf_keras", "matplotlib")


def assemble(place: Path, name: str) -> Path:
    """The bundle that `make demo` assembles, where nothing that only a conversion needs can be imported."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in CONVERSION_ONLY)
    code = f"import sys; {blocked}from convert.__main__ import main; sys.exit(main())"
    options = ["--prebuilt", "--compiler", "none", "--model", name, "--out", place / name, "--cache", place / "cache"]
    words = [sys.executable, "-c", code, *map(str, options)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return place / name


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model's bundle, assembled."""
    return assemble(tmp_path_factory.mktemp("prebuilt"), "base")


@pytest.fixture
def chosen(tmp_path: Path) -> Manifest:
    """The base model in a folder of its own, to change."""
    shutil.copytree(manifest.ROOT / "base", tmp_path / "base")
    return manifest.read(tmp_path / "base" / manifest.NAME)


@pytest.mark.slow
def test_what_is_shipped_is_what_the_build_makes(bundle: Path, assembled: Path) -> None:
    shipped, built = ((b / "encoder.tflite").read_bytes() for b in (assembled, bundle))
    assert not differences(graph_of(shipped), graph_of(built))
    assert largest_step(shipped, built) <= 1
    one, other = Bundle.open(assembled), Bundle.open(bundle)
    for role in ("head", "tokens", "lexicon", "language"):
        assert one.files[role] == other.files[role], role
    with np.load(one.path("front_end")) as shipped_arrays, np.load(other.path("front_end")) as built_arrays:
        assert {*shipped_arrays} == {*built_arrays}
        for name in shipped_arrays:  # the files may differ: the version that zip writes depends on Python's
            assert np.array_equal(shipped_arrays[name], built_arrays[name]), name


@pytest.mark.slow
def test_the_pieces_that_are_shipped_are_those_that_the_build_makes(second_bundle: Path, tmp_path: Path) -> None:
    shipped = TransformerBundle.open(assemble(tmp_path, "moonshine-tiny"))
    built = TransformerBundle.open(second_bundle)
    assert shipped.description.layers == built.description.layers == 6
    for name in shipped.names:
        one, other = (bundle.piece(name).read_bytes() for bundle in (shipped, built))
        assert not differences(graph_of(one), graph_of(other)), name
        assert largest_step(one, other) <= 1, name
    for file in (*decoder_graph.FILES, "tokenizer.bin", "LICENSES/MIT-moonshine-tiny.txt"):
        assert shipped.files[file] == built.files[file], file
    for field in dataclasses.fields(Weights):
        assert np.array_equal(getattr(shipped.weights(), field.name), getattr(built.weights(), field.name)), field.name
    one_by_one = zip(shipped.pieces().values(), built.pieces().values(), strict=True)
    for a, b in one_by_one:
        assert abs(a.input_zero - b.input_zero) <= 1
        for key in ("input_gain", "output_gain", "output_offset"):
            x, y = getattr(a, key), getattr(b, key)
            assert np.abs(x - y).max() <= np.abs(y).max() / 127, key


@pytest.mark.slow
def test_what_is_shipped_hears_the_same_words(bundle: Path, assembled: Path, tmp_path: Path) -> None:
    assert recordings.gather(tmp_path).folder, "pocketsphinx-testdata is installed by make"
    shipped, built = (heard(b, tmp_path) for b in (assembled, bundle))
    assert len(shipped) == 5 and all(shipped)
    assert shipped == built


def heard(bundle: Path, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "device.cli", "eval", str(folder), "--bundle", str(bundle), "--backend", "cpu"]
    command += ["--mode", "streaming"]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [item["hypothesis"] for item in json.loads(done.stdout)["items"]]


def test_a_quality_report_comes_with_it(assembled: Path) -> None:
    report = json.loads(Bundle.open(assembled).path("quality").read_text())
    assert report["words"]["count"] > 50 and report["words"]["int8"] < 0.2


def test_an_altered_encoder_is_refused(chosen: Manifest) -> None:
    path = chosen.file("prebuilt") / "encoder.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(SourceError, match=r"encoder\.tflite: missing or altered.*make bundle"):
        prebuilt.read(chosen)
    path.unlink()
    with pytest.raises(SourceError, match="missing or altered"):
        prebuilt.read(chosen)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [("hop = 240", "hop = 120", "settings"), ('head_sha256 = "2019', 'head_sha256 = "0000', "head")],
)
def test_an_encoder_of_another_manifest_is_refused(old: str, new: str, named: str, chosen: Manifest) -> None:
    text = chosen.path.read_text()
    assert old in text
    chosen.path.write_text(text.replace(old, new))
    with pytest.raises(SourceError, match=f"made from another {named} than .*make bundle"):
        prebuilt.read(manifest.read(chosen.path))


def test_pieces_of_another_manifest_or_altered_ones_are_refused(tmp_path: Path) -> None:
    shutil.copytree(manifest.ROOT / "moonshine-tiny", tmp_path / "moonshine")
    path = tmp_path / "moonshine" / manifest.NAME
    path.write_text(path.read_text().replace("frames = 208", "frames = 104"))
    with pytest.raises(SourceError, match=r"made from another settings than .*make bundle"):
        prebuilt.read_pieces(transformer(path))
    path.write_text(path.read_text().replace("frames = 104", "frames = 208"))
    assert len(prebuilt.read_pieces(transformer(path))) == 20
    (tmp_path / "moonshine/prebuilt/3.mlp.tflite").write_bytes(b"other")
    with pytest.raises(SourceError, match=r"3\.mlp\.tflite: missing or altered"):
        prebuilt.read_pieces(transformer(path))


def transformer(path: Path) -> TransformerManifest:
    read = manifest.read_any(path)
    assert isinstance(read, TransformerManifest)
    return read


def test_a_model_without_one_says_so(chosen: Manifest) -> None:
    shutil.rmtree(chosen.file("prebuilt"))
    with pytest.raises(SourceError, match="no converted encoder is shipped"):
        prebuilt.read(chosen)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 1, "inputs": 2}', '{"files": {}}'])
def test_a_broken_record_is_one_line(content: str, chosen: Manifest) -> None:
    (chosen.file("prebuilt") / prebuilt.RECORD).write_text(content)
    with pytest.raises(SourceError, match=r"prebuilt\.json: cannot be read"):
        prebuilt.read(chosen)


def test_shipping_again_gives_what_is_read(chosen: Manifest) -> None:
    before = prebuilt.read(chosen)
    (chosen.path.parent / "beside").mkdir()
    moved = {role: Path(shutil.copy(path, chosen.path.parent / "beside")) for role, path in before.items()}
    prebuilt.write(chosen, moved)
    assert {role: path.read_bytes() for role, path in prebuilt.read(chosen).items()} == {
        role: path.read_bytes() for role, path in moved.items()
    }


def test_without_the_extra_a_conversion_says_what_to_do(tmp_path: Path) -> None:
    code = "import sys; sys.modules['onnx'] = None; from convert.__main__ import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "make bundle" in done.stderr and "--prebuilt" in done.stderr
    assert not (tmp_path / "out").exists()
