"""Where a user's own files are looked for, and that an appliance's come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.config import loader, places
from device.config.schema import Config


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def test_a_machine_that_is_no_appliance_has_the_users_words(home: dict[str, str], tmp_path: Path) -> None:
    plain = loader.load(None, environ={})
    nothing, something = tmp_path / "nothing", tmp_path
    found = places.with_user_places(plain, home, [nothing])
    assert found.config.vocabulary.file == Path(home["HOME"], ".local/share/coral-dictation/words.tsv")
    assert found.origins()["vocabulary.file"] == "no appliance: the user's"
    assert places.with_user_places(plain, home, [nothing, something]).config.vocabulary == Config().vocabulary
    named = loader.load(None, ["vocabulary.file=/a"], {})
    assert places.with_user_places(named, home, [nothing]).config.vocabulary.file == Path("/a")


def test_the_users_configuration_is_read_where_the_machine_has_none(home: dict[str, str], tmp_path: Path) -> None:
    system, own = tmp_path / "etc.toml", places.settings_file(home)
    assert places.default_file(home, system) == system, "which need not exist"
    own.parent.mkdir(parents=True)
    own.write_text('text.english = "uk"')
    assert places.default_file(home, system) == own
    system.symlink_to(tmp_path / "gone")
    assert places.default_file(home, system) == system, "a link to nothing is a fault to tell of"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_a_base_directory_that_is_not_absolute_counts_as_unset(home: dict[str, str], value: str) -> None:
    default = Path(home["HOME"], ".cache/coral-dictation")
    assert places.cache(home) == places.cache({**home, "XDG_CACHE_HOME": value}) == default
    assert places.cache({**home, "XDG_CACHE_HOME": "/c"}) == Path("/c/coral-dictation")
