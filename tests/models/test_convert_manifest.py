"""Manifests: every mistake is told by file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import manifest
from models.manifest import ManifestError

QUARTZNET = Path(__file__).parents[1] / "data" / "quartznet" / "model.toml"


def test_base_names_its_source_and_reads_back() -> None:
    base = manifest.load("base")
    assert base.source.package == "hama==1.3.13"
    assert base.window.frames % base.window.stride == 0
    assert base.trained is not None
    assert base.file(base.trained.encoder).is_file()


def test_optional_tables_may_be_left_out() -> None:
    quartznet = manifest.read(QUARTZNET)
    assert quartznet.trained is None
    assert quartznet.tokens.tokens[1] == "a"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hop = 160", 'hop = "160"', "front_end.hop = '160': must be a whole number"),
        ("hop = 160", "hop = true", "front_end.hop = True: must be a whole number"),
        ("mels = 80", "mells = 80", "front_end.mells = 80: unknown key"),
        ('hidden = "/encoder/encoder.5/Relu_output_0"', "", "cut.hidden is missing"),
        ("frames = 256", "frames = 255", "window.frames = 255: must be a multiple of window.stride, 2"),
        ("hop = 96", "hop = 192", "window.hop = 192: with window.right it is longer than window.frames"),
        ('unit = "char"', 'unit = "letter"', "tokens.unit = 'letter'"),
        ('licence = "Apache-2.0"', 'licence = "Apache-2.0"\npackage = "name>=1"', "must pin a version"),
        ('licence = "Apache-2.0"', 'licence = "A"\n[source.assets.acoustic]\nfile = "a"\nsha256 = "12"', "64 hexa"),
        ('append = ["<blank>"]', "append = [1]", "tokens.append[0] = 1: must be a text"),
        ("[window]", "[window", "not TOML"),
    ],
)
def test_mistakes_name_file_key_and_value(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = QUARTZNET.read_text()
    assert old in text
    path = tmp_path / "model.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError) as caught:
        manifest.read(path)
    message = str(caught.value)
    assert said in message
    assert str(path) in message
    assert "\n" not in message


def test_missing_files_and_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        manifest.read(tmp_path / "model.toml")
    with pytest.raises(ManifestError, match=r"'nothing'.*there is: base"):
        manifest.load("nothing")
