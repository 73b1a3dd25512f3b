"""Finding a Coral, judging library pairings, choosing a backend, and what the doctor says about it all."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from accelerator_stand_ins import BOOTLOADER, RUNNING, SHAPE, build_delegate, plug_in, unprivileged
from edgetpu_packages import compiled_model, relu_model

from device.config import schema
from device.diagnostics.check import Check, CheckState
from device.diagnostics.edgetpu import CoralEnvironment, coral_checks
from device.inference import backends
from device.inference.accelerator import Backend, BackendContext, Change, Models, log_change
from device.inference.backends import choose
from device.inference.backends.coral import usable
from device.inference.edgetpu import compatibility
from device.inference.edgetpu.client import CoralError, open_coral
from device.inference.edgetpu.compatibility import KNOWN_GOOD, Library, Pairing, installed_library, judge, preferred
from device.inference.edgetpu.usb import UDEV_RULES, UsbCoral, find_coral, permitted
from device.inference.fallback import FallbackAccelerator
from device.system import release_info

PACKAGE = next(name for name in ("tflite_runtime", "ai_edge_litert") if importlib.util.find_spec(name))


def test_the_page_for_users_gives_the_rules_the_pairings_and_the_warning() -> None:
    page = (Path(__file__).parents[3] / "docs" / "edge-tpu.md").read_text()
    assert all(rule in page for rule in UDEV_RULES)
    for known in KNOWN_GOOD:
        assert f"16.0tf{'.'.join(map(str, known.tensorflow))}-1" in page
        assert known.package.replace("_", "-") in page.replace("_", "-") and known.version in page
    assert "Never `pip install pycoral`" in page


@pytest.mark.parametrize(("ids", "firmware"), [(BOOTLOADER, False), (RUNNING, True)])
def test_a_coral_is_found_before_and_after_its_firmware(tmp_path: Path, ids: tuple[str, str], firmware: bool) -> None:
    sysfs, dev = plug_in(tmp_path, ids)
    coral = find_coral(sysfs, dev)
    assert coral is not None and coral.firmware is firmware
    assert coral.node == dev / "002" / "004" and coral.sysfs.name == "2-1"
    assert not coral.slow and ":".join(ids) in str(coral)


def test_another_device_of_the_same_maker_is_no_coral(tmp_path: Path) -> None:
    sysfs, dev = plug_in(tmp_path, ("18d1", "4ee7"))  # a phone
    assert find_coral(sysfs, dev) is None


def test_a_coral_that_vanishes_while_it_is_looked_at_is_not_found(tmp_path: Path) -> None:
    sysfs, dev = plug_in(tmp_path)
    (sysfs / "2-1" / "idProduct").unlink()
    assert find_coral(sysfs, dev) is None
    assert find_coral(tmp_path / "nothing") is None


def test_usb_2_is_told_from_usb_3(tmp_path: Path) -> None:
    coral = find_coral(*plug_in(tmp_path, speed="480"))
    assert coral is not None and coral.slow


def test_absent_and_forbidden_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CoralError, match="no Coral found on USB"):
        usable(None)
    coral = UsbCoral(tmp_path, tmp_path / "node", True, 5000)
    with pytest.raises(CoralError, match="plugdev") as error:
        usable(coral, lambda _: False)
    assert all(rule in str(error.value) for rule in UDEV_RULES)
    assert usable(coral, lambda _: True) is coral


def test_permission_is_that_of_the_device_node(tmp_path: Path) -> None:
    sysfs, dev = plug_in(tmp_path)
    coral = find_coral(sysfs, dev)
    assert coral is not None and permitted(coral)
    coral.node.chmod(0)
    code = (
        "import sys; from pathlib import Path; from device.inference.edgetpu.usb import *; "
        "print(permitted(find_coral(Path(sys.argv[1]), Path(sys.argv[2]))))"
    )
    assert unprivileged(code, str(sysfs), str(dev)) == "False\n"


STATUS = """Package: libedgetpu-dev
Status: install ok installed
Version: 16.0tf2.19.1-1.bookworm

Package: libedgetpu1-std
Status: install ok installed
Architecture: arm64
Version: {version}
Description: Support library for Edge TPU
 with a long: description

Package: zlib1g
Status: install ok installed
Version: 1:1.2.13
"""


@pytest.mark.parametrize(
    ("version", "tensorflow"),
    [
        ("16.0tf2.19.1-1.bookworm", (2, 19, 1)),
        ("16.0tf2.17.1-1.trixie", (2, 17, 1)),
        ("16.0", (2, 5, 0)),
        ("15.0", (2, 5, 0)),
        ("17.1~own-build", None),
    ],
)
def test_the_librarys_version_tells_its_tensorflow(
    tmp_path: Path, version: str, tensorflow: tuple[int, ...] | None
) -> None:
    status = tmp_path / "status"
    status.write_text(STATUS.format(version=version))
    assert installed_library(status) == Library("libedgetpu1-std", version, tensorflow)


def test_a_removed_or_unknown_library_is_none(tmp_path: Path) -> None:
    status = tmp_path / "status"
    removed = STATUS.format(version="16.0").replace("install ok installed\nA", "deinstall ok config-files\nA")
    status.write_text(removed)
    assert installed_library(status) is None
    assert installed_library(tmp_path / "absent") is None


def test_pairings() -> None:
    for known in KNOWN_GOOD:
        built = Library("libedgetpu1-std", "", known.tensorflow)
        assert judge(built, known.package, known.version) is Pairing.GOOD
        assert known.source
    googles = Library("libedgetpu1-std", "16.0", (2, 5, 0))
    assert judge(googles, "ai_edge_litert", "1.2.0") is Pairing.BAD
    assert judge(googles, "tflite_runtime", "2.14.0") is Pairing.BAD
    assert judge(googles, "tflite_runtime", "2.5.0.post1") is Pairing.UNKNOWN
    assert judge(None, "tflite_runtime", "2.14.0") is Pairing.UNKNOWN
    newer = Library("libedgetpu1-max", "16.0tf2.19.1-1", (2, 19, 1))
    both = {"tflite_runtime": "2.14.0", "ai_edge_litert": "2.2.0"}
    assert preferred(newer, both) == "ai_edge_litert"
    assert preferred(None, both) == "tflite_runtime"
    assert preferred(newer, {}) is None


def test_corals_pycoral_is_told_from_its_namesake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pycoral", raising=False)
    if importlib.util.find_spec("pycoral") is None:
        assert compatibility.coral_pycoral() is None
    package = tmp_path / "pycoral"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('this must not run')\n")
    importlib.invalidate_caches()
    assert compatibility.coral_pycoral() is False
    (package / "utils").mkdir()
    (package / "utils" / "edgetpu.py").touch()
    assert compatibility.coral_pycoral() is True


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    plain, compiled = tmp_path / "encoder.tflite", tmp_path / "encoder_edgetpu.tflite"
    plain.write_bytes(relu_model())
    compiled.write_bytes(compiled_model())
    return plain, compiled


def test_every_backend_can_be_configured_and_every_one_configured_is_there() -> None:
    configured = get_type_hints(schema.RecognizerSettings)["backend"]
    assert set(backends.names()) == set(get_args(Backend)) == set(get_args(configured))


def test_choosing_without_a_coral(models: tuple[Path, Path]) -> None:
    plain, compiled = models
    chosen = choose("cpu", Models([plain], [compiled]), BackendContext())
    assert (chosen.accelerator.name, chosen.degraded) == ("cpu", False)
    chosen = choose("coral", Models([plain], None), BackendContext())
    assert chosen.degraded and "holds no encoder compiled" in chosen.reason
    assert not choose("auto", Models([plain], None), BackendContext()).degraded
    for backend, degraded in (("auto", False), ("coral", True)):
        chosen = choose(backend, Models([plain], [compiled]), BackendContext(find=lambda: None))
        assert isinstance(chosen.accelerator, FallbackAccelerator)
        assert chosen.degraded is degraded and "no Coral found" in chosen.reason
        assert chosen.accelerator.invoke(np.ones(SHAPE, np.int8)).sum() == 256


def test_choosing_with_a_coral_that_is_plugged_in_later(models: tuple[Path, Path], tmp_path: Path) -> None:
    library = build_delegate(tmp_path)
    plugged: list[UsbCoral] = []
    changes: list[Change] = []
    seconds = [0.0]
    chosen = choose(
        "auto",
        Models(*([model] for model in models)),
        BackendContext(
            library=str(library),
            find=lambda: plugged[0] if plugged else None,
            on_change=changes.append,
            clock=lambda: seconds[0],
        ),
    )
    assert chosen.accelerator.name == "cpu"
    found = find_coral(*plug_in(tmp_path))
    assert found is not None
    plugged.append(found)
    seconds[0] += 31
    assert isinstance(chosen.accelerator, FallbackAccelerator)
    chosen.accelerator.wait(20.0)
    assert chosen.accelerator.name == "coral" and [change.backend for change in changes] == ["coral"]
    chosen.accelerator.close()
    chosen = choose(
        "coral", Models(*([model] for model in models)), BackendContext(library=str(library), find=lambda: found)
    )
    assert (chosen.reason, chosen.degraded) == ("the Coral", False)
    chosen.accelerator.close()


def test_a_loss_is_logged_where_nothing_else_is_told_of_it(caplog: pytest.LogCaptureFixture) -> None:
    log_change(Change("cpu", "the Coral is gone"))
    assert caplog.messages == ["the encoder runs on the cpu now: the Coral is gone"]


def test_a_model_compiled_from_another_is_not_used(models: tuple[Path, Path], tmp_path: Path) -> None:
    library = build_delegate(tmp_path)
    found = find_coral(*plug_in(tmp_path))
    plain, compiled = models
    plain.write_bytes(relu_model((1, 1, 16, 8)))
    chosen = choose("auto", Models([plain], [compiled]), BackendContext(library=str(library), find=lambda: found))
    assert "build the bundle again" in chosen.reason and chosen.accelerator.name == "cpu"
    chosen.accelerator.close()


GOOD = CoralEnvironment(
    find=lambda: UsbCoral(Path("2-1"), Path("/dev/bus/usb/002/004"), True, 5000),
    permitted=lambda _: True,
    library=lambda: Library("libedgetpu1-std", "16.0tf2.19.1-1.bookworm", (2, 19, 1)),
    interpreters=lambda: {"ai_edge_litert": "2.2.0"},
    pycoral=lambda: None,
)


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_the_doctor_prints_the_whole_chain_when_all_is_well(models: tuple[Path, Path], tmp_path: Path) -> None:
    library = build_delegate(tmp_path)
    setting = replace(GOOD, open=lambda models: open_coral(models, str(library), package=PACKAGE))
    checks = coral_checks("auto", models[1:], setting)
    assert [check.name for check in checks] == [
        "Coral on USB", "permission", "libedgetpu", "interpreter", "pairing", "pycoral", "bundle", "backend",
    ]  # fmt: skip
    assert all(check.state is CheckState.GOOD and not check.advice for check in checks), checks
    assert "through load_delegate" in checks[-1].detail and "RuntimeVersion(14)" in checks[-1].detail


@pytest.mark.parametrize(
    ("changed", "name", "state", "says"),
    [
        ({"find": lambda: None}, "Coral on USB", CheckState.BAD, "plug it"),
        ({"permitted": lambda _: False}, "permission", CheckState.BAD, "plugdev"),
        ({"library": lambda: None}, "libedgetpu", CheckState.BAD, "libedgetpu1-std"),
        ({"library": lambda: None, "left_out": lambda: True}, "libedgetpu", CheckState.BAD, "build the image again"),
        ({"library": lambda: Library("libedgetpu1-std", "16.0", (2, 5, 0))}, "pairing", CheckState.BAD, "16.0tf2"),
        ({"interpreters": lambda: {}}, "interpreter", CheckState.BAD, "pip install"),
        ({"pycoral": lambda: False}, "pycoral", CheckState.BAD, "never `pip install pycoral`"),
    ],
)
def test_the_doctor_names_the_broken_link_and_the_next_step(
    changed: dict[str, object], name: str, state: CheckState, says: str, models: tuple[Path, Path]
) -> None:
    def refuse(_: object) -> object:
        raise CoralError("libedgetpu crashed (SIGSEGV) while loading: they do not match")

    setting = replace(GOOD, open=refuse, **changed)  # type: ignore[arg-type]
    checks = by_name(coral_checks("coral", models[1:], setting))
    assert checks[name].state is state
    assert says in checks[name].advice
    assert checks["backend"].state is CheckState.BAD and "the CPU" in checks["backend"].detail


def test_the_doctor_calls_a_missing_coral_a_fault_only_where_one_is_configured() -> None:
    setting = replace(GOOD, find=lambda: None)
    auto = by_name(coral_checks("auto", None, setting))
    assert {auto[name].state for name in ("Coral on USB", "bundle", "backend")} == {CheckState.NOTE}
    asked = by_name(coral_checks("coral", None, setting))
    assert {asked[name].state for name in ("Coral on USB", "bundle", "backend")} == {CheckState.BAD}
    assert by_name(coral_checks("cpu", None, setting))["backend"].state is CheckState.GOOD


def test_the_doctor_survives_a_crashing_library(
    models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = build_delegate(tmp_path)
    monkeypatch.setenv("FAKE_CORAL", "prepare:crash")
    setting = replace(GOOD, open=lambda models: open_coral(models, str(library), package=PACKAGE))
    backend = by_name(coral_checks("auto", models[1:], setting))["backend"]
    assert backend.state is CheckState.BAD and "SIGSEGV" in backend.detail and "libedgetpu1-std" in backend.advice


def test_the_doctor_runs_on_this_machine_as_it_is() -> None:
    for check in coral_checks("auto", None):
        assert str(check)


@pytest.mark.parametrize(("text", "said"), [('{"without_coral": true}', True), ('{"without_coral": false}', False),
                                            ("{}", False), ("[1]", False), ("cut off", False)])  # fmt: skip
def test_a_release_says_whether_it_was_built_without_the_driver(tmp_path: Path, text: str, said: bool) -> None:
    (tmp_path / "release.json").write_text(text)
    assert release_info.without_coral(tmp_path / "site") is said
    assert not release_info.without_coral(tmp_path / "elsewhere" / "site")
