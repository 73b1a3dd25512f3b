"""`python convert/build.py`: the models of the appliance, compiled in one run; what happens where one is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edgetpu_packages import compiled_model

from convert import fetch
from convert.edgetpu.compiled import executable
from convert.pipeline import PRODUCT
from models import manifest
from models.bundle import Bundle
from models.moonshine import pieces
from models.transformer_bundle import TransformerBundle

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests" / "support" / "edgetpu_fake_compiler.py"
ELSEWHERE = """
import sys
from pathlib import Path
from convert import draft
draft.BUILT = Path(sys.argv.pop(1))
from convert.__main__ import main
sys.exit(main())
"""


def build(built: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, with its bundles in `built`."""
    return subprocess.run(
        [sys.executable, "-c", ELSEWHERE, built, "--prebuilt", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def test_all_models_are_compiled_in_one_run_and_share_the_chip(tmp_path: Path) -> None:
    (tmp_path / "compiled.tflite").write_bytes(compiled_model())
    compiler, log = tmp_path / "edgetpu_compiler", tmp_path / "runs.log"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    compiler.chmod(0o755)
    options = ("--compiler", compiler, "--cache", tmp_path / "cache")  # what it makes is for no other build
    done = build(tmp_path / "built", *options, FAKE_COMPILED=str(tmp_path / "compiled.tflite"), FAKE_ROWS="[]")
    assert done.returncode == 0, done.stderr
    assert "19 models on one Edge TPU" in done.stdout and "uncertain" in done.stdout
    (run,) = [line for line in log.read_text().splitlines() if ".tflite" in line]
    given = [Path(word).name for word in run.split() if word.endswith(".tflite")]
    assert given == ["encoder.tflite", *(f"{name}.tflite" for name in pieces(6))]  # the first ones keep their place

    first, second = Bundle.open(tmp_path / "built/base"), TransformerBundle.open(tmp_path / "built/moonshine-tiny")
    for edge_tpu in (first.description.edge_tpu, second.description.edge_tpu):
        assert edge_tpu.compiled and "base and moonshine-tiny together" in edge_tpu.detail
    files = [first.path("encoder_edgetpu"), *(second.piece(name, edge_tpu=True) for name in second.names)]
    executables = [item for file in files for item in executable.read(file.read_bytes()).regions[0].executables]
    assert len({item.caching_token for item in executables if item.type == "PARAMETER_CACHING"}) == 1


def test_without_the_second_models_source_the_first_is_built_and_a_line_says_so(tmp_path: Path) -> None:
    base = manifest.load("base")
    for role, asset in base.source.assets.items():  # all that was ever downloaded here
        kept = fetch.fetch(base, role)
        (tmp_path / "cache/coral-dictation/source" / asset.sha256).mkdir(parents=True)
        shutil.copy(kept, tmp_path / "cache/coral-dictation/source" / asset.sha256)
    offline = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
    done = build(tmp_path / "built", "--compiler", "none", **offline)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1 and "moonshine-voice" in done.stderr and "go online once" in done.stderr
    assert "base is complete and works without moonshine-tiny" in done.stderr
    assert [path.name for path in (tmp_path / "built").iterdir()] == ["base"]
    Bundle.open(tmp_path / "built/base")

    only = build(tmp_path / "built", "--model", "moonshine-tiny", **offline)
    assert only.returncode == 1 and only.stderr.count("\n") == 1


def test_two_builds_of_the_same_models_at_once_both_end_well(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ELSEWHERE, tmp_path / "built", "--prebuilt", "--compiler", "none"]
    runs = [
        subprocess.Popen(
            [*words, "--cache", tmp_path / "cache"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [run.communicate(timeout=600) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    Bundle.open(tmp_path / "built/base")
    TransformerBundle.open(tmp_path / "built/moonshine-tiny")
    assert sorted(path.name for path in (tmp_path / "built").iterdir()) == sorted(PRODUCT)
    assert not [*(tmp_path / "cache").glob(".*")]


def test_an_option_of_one_model_is_about_the_base_model(tmp_path: Path) -> None:
    done = build(tmp_path / "built", "--compiler", "none", "--out", tmp_path / "here")
    assert done.returncode == 0, done.stderr
    assert Bundle.open(tmp_path / "here").description.name == PRODUCT[0]
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("name", PRODUCT)
def test_each_part_of_a_bundle_has_a_licence_and_its_texts(name: str, tmp_path: Path) -> None:
    done = build(tmp_path / "built", "--compiler", "none", "--model", name)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "built" / name
    licences = json.loads((root / "bundle.json").read_text())["description"]["licences"]
    assert licences.keys() == ({"acoustic", "g2p", "lexicon", "language"} if name == "base" else {"acoustic"})
    for licence in licences.values():
        wanted = {word for word in licence["spdx"].split() if word != "AND"}
        texts = {text: (root / "LICENSES" / text).read_text() for text in licence["texts"]}
        assert all(any(text.startswith(spdx) for text in texts) for spdx in wanted), licence
        assert all(len(text) > 500 for text in texts.values())
    assert "Moonshine AI" in (root / "NOTICE").read_text()
