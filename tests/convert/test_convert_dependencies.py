"""What a stage is made of: the build cache runs it again exactly when that changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from convert import dependencies
from convert.cache import Cache
from convert.progress import Display
from convert.stages import Stages

ROOT = Path(__file__).parents[2]
VERIFY = ("convert.quality.gates", "device.cli", "device.cli.eval")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree of sources, to change."""
    for name in ("convert", "device", "models"):
        for path in (ROOT / name).rglob("*"):
            if path.suffix in (".py", ".c", ".h", ".lock"):
                target = tmp_path / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    return tmp_path


def names(*modules: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in dependencies.sources(*modules)}


def test_the_quality_gate_depends_on_the_decoder_in_c_and_on_what_it_imports() -> None:
    found = names(*VERIFY)
    c_sources = {str(path.relative_to(ROOT)) for path in (ROOT / "device").rglob("csrc/*.[ch]")}
    assert len(c_sources) >= 4 and found >= c_sources
    assert {
        "models/bundle.py",
        "models/lexicon.py",
        "device/asr/recognizer.py",
        "convert/quality/agreement.py",
    } <= found


def test_a_stage_does_not_depend_on_what_it_does_not_import() -> None:
    assert not {name for name in names("convert.quantization.quantize") if name.startswith("device/")}
    assert "convert/words/lexicon.py" not in names("convert.onnx.split")


def test_imports_inside_functions_count(copy: Path) -> None:
    (copy / "convert" / "errors.py").write_text("def later():\n    from convert.words import language_model\n")
    assert copy / "convert" / "words" / "language_model.py" in dependencies.sources("convert.errors", root=copy)


@pytest.mark.parametrize("touched", ["csrc/*.c", "csrc/*.h", "decoder.py", "recognizer.py"])
def test_a_touched_file_runs_the_quality_gate_again(touched: str, copy: Path) -> None:
    stages = Stages(Cache(copy / "cache"), Display(Console(quiet=True)), copy)
    made: list[int] = []

    def verify() -> Path:
        return stages.run("verify", list(VERIFY), {}, lambda out: made.append(1))

    before = verify()
    assert verify() == before and len(made) == 1
    path = next((copy / "device").rglob(touched))
    path.write_bytes(path.read_bytes() + b"\n")
    assert verify() != before and len(made) == 2


def test_versions_of_libraries_count_and_this_project_is_none() -> None:
    found = dependencies.libraries("convert.quantization.quantize")
    assert {"numpy", "onnx", "onnx2tf", "onnxruntime", "flatbuffers"} <= found.keys()
    assert "coral-dictation" not in found


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        dependencies.sources("convert.no_such_module")
