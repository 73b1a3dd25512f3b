"""bundle.json: what is out of range, of another type or no role of a bundle is refused in one line that names it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import bundle
from models.bundle import DESCRIPTION, FILES, FORMAT, OLDEST, OPTIONAL, Bundle, BundleError

ROOT = Path(__file__).parents[2]
WHOLE: dict[str, Any] = {
    "name": "small",
    "source": "a test",
    "licences": {"acoustic": {"spdx": "MIT", "source": "a test", "texts": ["MIT.txt"]}},
    "blank": 2,
    "boundary": 1,
    "unit": "char",
    "front_end": {"mels": 40, "mean": 1},
    "window": {"frames": 80, "stride": 2, "hop": 40, "right": 20},
    "encoder_input": {"shape": [1, 1, 80, 40], "dtype": "int8", "scale": 0.1, "zero_point": -3},
    "encoder_output": {"shape": [1, 1, 40, 8], "dtype": "int8", "scale": 0.1, "zero_point": 0},
    "head_input": {"shape": [1, 8, 40], "dtype": "float32"},
    "head_output": {"shape": [1, 40, 3], "dtype": "float32"},
    "search": {"beam_threshold": 20},
    "edge_tpu": {"compiled": False, "detail": "no compiler"},
    "format": FORMAT,
}
TEXT = "LICENSES/MIT.txt"
ROLES = {"encoder", *(FILES.keys() - OPTIONAL)}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A whole bundle of empty files."""
    (tmp_path / "LICENSES").mkdir()
    names = {**{role: FILES[role] for role in ROLES}, TEXT: TEXT}
    for name in names.values():
        (tmp_path / name).touch()
    files = {role: bundle.sha256(tmp_path / name) for role, name in names.items()}
    (tmp_path / DESCRIPTION).write_text(json.dumps({"description": WHOLE, "files": files}))
    return tmp_path


def changed(key: str, value: Any) -> dict[str, Any]:
    table = copy.deepcopy(WHOLE)
    *path, last = key.split(".")
    below = table
    for name in path:
        below = below[name]
    below[last] = value
    return table


def refused(made: Path, text: str) -> str:
    (made / DESCRIPTION).write_text(text)
    with pytest.raises(BundleError) as caught:
        Bundle.open(made)
    assert "\n" not in str(caught.value) and "build" in str(caught.value)
    return str(caught.value)


def text(made: Path, description: Any, **more: Any) -> str:
    return json.dumps(json.loads((made / DESCRIPTION).read_text()) | {"description": description} | more)


def test_a_whole_one_is_opened(made: Path) -> None:
    opened = Bundle.open(made)
    assert opened.window.frames == 80 and opened.description.front_end.mean == 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("search.beam_threshold", -1),
        ("search.beam_threshold", float("nan")),
        ("search.beam_threshold", float("inf")),
        ("search.beam_threshold", 10**400),
        ("search.beam", 0),
        ("search.beam", True),
        ("search.beam_tokens", -1),
        ("search.lm_weight", float("nan")),
        ("search.blank_skip", 0),
        ("window.frames", 10**12),
        ("window.frames", 0),
        ("window.stride", 0),
        ("window.hop", -40),
        ("window.right", "20"),
        ("blank", -1),
        ("boundary", "x"),
        ("boundary", 1.0),
        ("unit", "word"),
        ("name", 3),
        ("front_end.mels", 10**9),
        ("front_end.scale", 0),
        ("front_end.center", 1),
        ("encoder_input.shape", "1180"),
        ("encoder_input.shape", [1, 1, "80", 40]),
        ("encoder_input.shape", []),
        ("encoder_input.shape", [1_000_000] * 3),
        ("encoder_input.dtype", "object"),
        ("encoder_input.scale", -1),
        ("encoder_input.zero_point", 999),
        ("edge_tpu", []),
        ("window", None),
        ("window.more", 1),
        ("licences", []),
        ("licences.acoustic", "MIT"),
        ("licences.acoustic.spdx", 1),
        ("licences.acoustic.texts", ["../../etc/passwd"]),
        ("licences.acoustic.texts", [".."]),
    ],
)
def test_a_value_that_cannot_be_is_named(made: Path, key: str, value: Any) -> None:
    line = refused(made, text(made, changed(key, value)))
    assert f"description.{key}" in line or "is no number" in line or "digits" in line


@pytest.mark.parametrize(("hop", "said"), [(70, "longer together than the window"), (41, "multiple of stride 2")])
def test_a_window_that_does_not_fit_together(made: Path, hop: int, said: str) -> None:
    line = refused(made, text(made, changed("window.hop", hop)))
    assert "description.window: hop" in line and said in line


@pytest.mark.parametrize("description", [[], "x", None, 3, {}, {"format": FORMAT}, {"format": [FORMAT]}])
def test_a_description_that_is_none(made: Path, description: Any) -> None:
    refused(made, text(made, description))


@pytest.mark.parametrize(
    "files",
    [[], "x", None, {"../../etc/passwd": "0" * 64}, {"more": "0" * 64}, {"head": "../x"}, {"head": 3}, {"head": None}],
)
def test_files_that_are_none(made: Path, files: Any) -> None:
    refused(made, text(made, WHOLE, files=files))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "[]", "3", "", "{", '{"a": NaN}', "9" * 5_000])
def test_json_that_is_none(made: Path, content: str) -> None:
    refused(made, content)


def test_bytes_that_are_not_utf_8(made: Path) -> None:
    (made / DESCRIPTION).write_bytes(b"\xff\xfe{")
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.open(made)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)


def keys(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    below = [key for name, value in table.items() if isinstance(value, dict) for key in keys(value, f"{prefix}{name}.")]
    return [*(f"{prefix}{name}" for name in table), *below]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(keys(WHOLE)), value=VALUES)
def test_any_value_is_taken_or_refused_in_one_line(made: Path, key: str, value: Any) -> None:
    (made / DESCRIPTION).write_text(text(made, changed(key, value)))
    try:
        Bundle.open(made)
    except BundleError as error:
        assert "\n" not in str(error)


def test_a_licence_without_its_text_is_refused(made: Path) -> None:
    (made / TEXT).unlink()
    with pytest.raises(BundleError, match=r"LICENSES/MIT\.txt: missing"):
        Bundle.open(made)
    line = refused(made, text(made, changed("licences.acoustic.texts", ["Other.txt"])))
    assert "Other.txt" in line or "MIT.txt" in line


@pytest.mark.parametrize("format", [OLDEST - 1, FORMAT + 1])
def test_a_bundle_of_another_format_is_refused_in_a_line(made: Path, format: int) -> None:
    assert f"reads bundle format {OLDEST} to {FORMAT}" in refused(made, text(made, changed("format", format)))


def test_a_bundle_of_an_older_format_is_read(made: Path) -> None:
    made.joinpath(DESCRIPTION).write_text(text(made, changed("format", OLDEST)))
    assert OLDEST < FORMAT and Bundle.open(made).description.format == OLDEST


def test_a_bundle_is_written_with_the_texts_of_its_licences(made: Path, tmp_path: Path) -> None:
    opened = Bundle.open(made)
    files = {role: made / FILES.get(role, role) for role in opened.files}
    written = bundle.write(tmp_path / "copy", opened.description, files)
    assert written.files == opened.files and (tmp_path / "copy" / TEXT).is_file()
    with pytest.raises(BundleError, match="no part of a bundle"):
        bundle.write(tmp_path / "copy", opened.description, {**files, "LICENSES/Other.txt": made / TEXT})


def test_the_second_bundle_is_in_the_first_or_beside_it(tmp_path: Path) -> None:
    first = tmp_path / "base"
    assert bundle.second_pass(first) is None
    for place in (tmp_path / "moonshine-tiny", first / "second-pass"):
        place.mkdir(parents=True)
        assert bundle.second_pass(first) != place
        (place / DESCRIPTION).touch()
        assert bundle.second_pass(first) == place


def test_processes_that_replace_one_folder_take_turns(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from models.bundle import replacing
for _ in range(50):
    with replacing(Path(sys.argv[1])) as part:
        for name in "abc":
            (part / name).write_text(sys.argv[2])
"""
    place = tmp_path / "bundle"
    words = [[sys.executable, "-c", code, place, name] for name in ("one", "two")]
    writers = [subprocess.Popen(each, cwd=ROOT, stderr=subprocess.PIPE, text=True) for each in words]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], said
    assert [*tmp_path.iterdir()] == [place]
    assert sorted(path.name for path in place.iterdir()) == [*"abc"]
    assert len({path.read_text() for path in place.iterdir()}) == 1
