"""What every accelerator promises, kept by the CPU, by a Coral behind the faulty delegate, and by both together.

Each holds three models: two of one shape and one of another.

The delegate is a real shared library loaded by the real interpreter in the real child process; only the chip
behind it is missing (tests/data/edgetpu/faulty_delegate.c).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerator_stand_ins import SHAPE, Clock, build_delegate, unprivileged
from edgetpu_packages import compiled_model, relu_model
from numpy.typing import NDArray

from device.inference.accelerator import Accelerator, Change
from device.inference.backends.cpu import CpuAccelerator
from device.inference.edgetpu.client import (
    CoralAccelerator,
    CoralCrashed,
    CoralError,
    CoralFailed,
    CoralHung,
    CoralStart,
    open_coral,
)
from device.inference.fallback import FallbackAccelerator
from device.inference.interpreter import PACKAGES
from device.inference.shapes import Shapes

PATIENCE_S = 20.0  # where a call is to come back: this machine may be busy
HANG_S = 1.0  # where it is not
OTHER = (1, 1, 16, 8)

INTERPRETERS = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]


@dataclass(frozen=True)
class Bench:
    """Files to run: the models, their compiled twins, the library that stands in for libedgetpu."""

    models: list[Path]
    twins: list[Path]
    library: Path

    @property
    def plain(self) -> Path:
        return self.models[0]

    @property
    def compiled(self) -> Path:
        return self.twins[0]

    def coral(self, **options: float | str) -> CoralAccelerator:
        values: dict[str, float | str] = {"package": INTERPRETERS[0], "deadline_s": PATIENCE_S, **options}
        return open_coral(self.twins, str(self.library), **values)

    def start(self, deadline_s: float = PATIENCE_S) -> CoralStart:
        return CoralStart(self.twins, str(self.library), INTERPRETERS[0], deadline_s=deadline_s)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    models, twins = [], []
    for number, shape in enumerate((SHAPE, OTHER, SHAPE)):
        models.append(folder / f"relu{number}.tflite")
        models[-1].write_bytes(relu_model(shape))
        twins.append(folder / f"relu{number}_edgetpu.tflite")
        twins[-1].write_bytes(compiled_model(shape=shape))
    return Bench(models, twins, build_delegate(folder))


def windows(count: int, seed: int = 1) -> list[NDArray[np.int8]]:
    random = np.random.default_rng(seed)
    return [random.integers(-128, 128, SHAPE).astype(np.int8) for _ in range(count)]


def expected(window: NDArray[np.int8]) -> NDArray[np.int8]:
    return np.maximum(window, 0)


def fallback(bench: Bench, start: Callable[[], CoralStart]) -> FallbackAccelerator:
    made = FallbackAccelerator(CpuAccelerator(*bench.models), start)
    made.wait(20.0)
    return made


def no_coral() -> CoralStart:
    raise CoralError("no Coral found on USB")


MAKERS: dict[str, Callable[[Bench], Accelerator]] = {
    "cpu": lambda bench: CpuAccelerator(*bench.models),
    **{
        f"coral-{name}": lambda bench, name=name: bench.coral(package=name)  # type: ignore[misc]
        for name in INTERPRETERS
    },
    "fallback-on-coral": lambda bench: fallback(bench, bench.start),
    "fallback-on-cpu": lambda bench: fallback(bench, no_coral),
}


@pytest.fixture(params=MAKERS, scope="module")
def accelerator(request: pytest.FixtureRequest, bench: Bench) -> Iterator[Accelerator]:
    made = MAKERS[request.param](bench)
    assert made.name == ("coral" if "coral" in request.param else "cpu")
    yield made
    made.close()
    made.close()


def test_it_runs_window_after_window(accelerator: Accelerator) -> None:
    assert list(accelerator.shapes) == [Shapes(shape, shape) for shape in (SHAPE, OTHER, SHAPE)]
    for window in windows(50):
        result = accelerator.invoke(window)
        assert result.dtype == np.int8
        np.testing.assert_array_equal(result, expected(window))


def test_it_runs_its_models_in_any_order(accelerator: Accelerator) -> None:
    random = np.random.default_rng(3)
    kept: list[tuple[NDArray[np.int8], NDArray[np.int8]]] = []
    for model in random.integers(0, 3, 40):
        window = random.integers(-128, 128, accelerator.shapes[model].input).astype(np.int8)
        kept.append((window, accelerator.invoke(window, int(model))))
    for window, result in kept:
        np.testing.assert_array_equal(result, expected(window))


def test_a_window_of_another_model_is_refused(accelerator: Accelerator) -> None:
    with pytest.raises(ValueError, match="a window is int8"):
        accelerator.invoke(np.zeros(OTHER, np.int8), 0)
    with pytest.raises(ValueError, match="a window is int8"):
        accelerator.invoke(np.zeros(SHAPE, np.int8), 1)


def test_window_and_result_stay_the_callers(accelerator: Accelerator) -> None:
    first, second = windows(2)
    kept = first.copy()
    result = accelerator.invoke(first)
    np.testing.assert_array_equal(first, kept)
    first[...] = 0
    accelerator.invoke(second)
    np.testing.assert_array_equal(result, expected(kept))
    result[...] = 99
    np.testing.assert_array_equal(accelerator.invoke(second), expected(second))


def test_a_window_that_is_not_contiguous_is_run_all_the_same(accelerator: Accelerator) -> None:
    wide = np.random.default_rng(2).integers(-128, 128, (*SHAPE[:3], 16)).astype(np.int8)
    view = wide[..., ::2]
    np.testing.assert_array_equal(accelerator.invoke(view), expected(view))


def test_another_shape_or_type_is_refused_and_the_next_window_runs(accelerator: Accelerator) -> None:
    (window,) = windows(1)
    wrong_ones: list[Any] = [window[0], window[:, :, :31], window.astype(np.uint8), window.astype(np.float32)]
    for wrong in wrong_ones:
        with pytest.raises(ValueError, match="a window is int8"):
            accelerator.invoke(wrong)
    np.testing.assert_array_equal(accelerator.invoke(window), expected(window))


LOADING = {
    "load:error": (CoralFailed, "see `dictate doctor`"),
    "load:crash": (CoralCrashed, "SIGSEGV.*do not match"),
    "load:hang": (CoralHung, "did not start in time"),
    "prepare:crash": (CoralCrashed, "SIGSEGV.*do not match"),
    "invoke:crash:0": (CoralCrashed, "SIGSEGV.*do not match"),
    "invoke:hang:0": (CoralHung, "did not start in time"),
}


@pytest.mark.parametrize("plan", LOADING)
def test_a_coral_that_fails_while_loading_is_an_error_in_this_process(
    bench: Bench, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CORAL", plan)
    kind, says = LOADING[plan]
    with pytest.raises(kind, match=says) as error:
        bench.coral(start_s=1.0 if "hang" in plan else 20.0)
    assert "\n" not in str(error.value)


RUNNING = {
    "invoke:error:6": (CoralFailed, "the Coral is gone"),
    "invoke:crash:6": (CoralCrashed, "SIGSEGV.*after it had worked"),
    "invoke:hang:6": (CoralHung, f"did not answer within {HANG_S:g} s"),
}


@pytest.mark.parametrize("plan", RUNNING)
def test_a_coral_that_fails_while_running_is_an_error_and_its_process_is_gone(
    bench: Bench, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CORAL", plan)
    kind, says = RUNNING[plan]
    coral = bench.coral(deadline_s=HANG_S)
    sentence = windows(6)
    for window in sentence[:3]:  # starting ran the first three of the six good calls
        np.testing.assert_array_equal(coral.invoke(window), expected(window))
    with pytest.raises(kind, match=says):
        coral.invoke(sentence[3])
    with pytest.raises(CoralError):
        coral.invoke(sentence[4])
    coral.close()


@pytest.mark.parametrize("plan", RUNNING)
def test_a_sentence_goes_on_when_the_coral_fails_in_its_middle(
    bench: Bench, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every window of the sentence has its result, the change is told once, and a working Coral comes back."""
    monkeypatch.setenv("FAKE_CORAL", plan)
    changes: list[Change] = []
    clock = Clock()
    accelerator = FallbackAccelerator(
        CpuAccelerator(*bench.models), lambda: bench.start(deadline_s=HANG_S), changes.append, clock, retry_s=30.0
    )
    accelerator.wait(20.0)
    names = []
    for window in windows(8):
        np.testing.assert_array_equal(accelerator.invoke(window), expected(window))
        names.append(accelerator.name)
    assert names == ["coral"] * 3 + ["cpu"] * 5
    assert [change.backend for change in changes] == ["coral", "cpu"]
    assert changes[1].reason == accelerator.problem and "\n" not in changes[1].reason

    monkeypatch.delenv("FAKE_CORAL")
    clock.now += 29.9
    accelerator.wait(5.0)
    assert accelerator.name == "cpu"
    clock.now += 0.2
    accelerator.wait(20.0)
    assert accelerator.name == "coral" and accelerator.problem is None
    for window in windows(3, seed=2):
        np.testing.assert_array_equal(accelerator.invoke(window), expected(window))
    assert [change.backend for change in changes] == ["coral", "cpu", "coral"]
    accelerator.close()


def test_windows_never_wait_for_a_coral_that_is_starting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CORAL", "load:hang")
    accelerator = FallbackAccelerator(CpuAccelerator(*bench.models), bench.start)
    for window in windows(20):
        np.testing.assert_array_equal(accelerator.invoke(window), expected(window))
    assert accelerator.name == "cpu"
    accelerator.close()


def test_the_shared_memory_cannot_be_cut_short(bench: Bench) -> None:
    """Reading behind the end of a mapped file is SIGBUS: a child that has gone wrong must not end its parent so."""
    with bench.coral() as accelerator:
        for size in (0, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(accelerator._worker._memory, size)
        (window,) = windows(1)
        np.testing.assert_array_equal(accelerator.invoke(window), expected(window))


def test_a_machine_that_can_start_no_process_goes_on_with_the_cpu(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    accelerator = FallbackAccelerator(CpuAccelerator(*bench.models), bench.start)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    (window,) = windows(1)
    np.testing.assert_array_equal(accelerator.invoke(window), expected(window))
    assert accelerator.problem is not None and "no process can be started" in accelerator.problem
    assert len(list(descriptors.iterdir())) == before


def test_a_child_killed_in_the_middle_of_a_sentence_changes_no_result(bench: Bench) -> None:
    """As by the kernel when memory runs out."""
    started: list[CoralStart] = []

    def start() -> CoralStart:
        started.append(bench.start())
        return started[-1]

    accelerator = FallbackAccelerator(CpuAccelerator(*bench.models), start)
    accelerator.wait(20.0)
    for step, window in enumerate(windows(10)):
        if step == 5:
            assert accelerator.name == "coral"
            os.kill(started[0].pid, signal.SIGKILL)
        np.testing.assert_array_equal(accelerator.invoke(window), expected(window))
    assert accelerator.name == "cpu" and "SIGKILL" in str(accelerator.problem)
    accelerator.close()


def test_an_unplugged_coral_is_used_again_after_it_is_plugged_in(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug = tmp_path / "plug"
    plug.touch()
    monkeypatch.setenv("FAKE_CORAL_PLUGGED", str(plug))
    clock, changes = Clock(), list[Change]()
    accelerator = FallbackAccelerator(CpuAccelerator(*bench.models), bench.start, changes.append, clock)
    accelerator.wait(20.0)
    for step, window in enumerate(windows(12)):
        if step == 4:
            plug.unlink()
        if step == 8:
            clock.now += 31
            accelerator.wait(20.0)  # a try while it is still unplugged: fails, the pause doubles
            plug.touch()
        if step == 10:
            clock.now += 61
            accelerator.wait(20.0)
        np.testing.assert_array_equal(accelerator.invoke(window), expected(window))
        assert accelerator.name == ("cpu" if 4 <= step < 10 else "coral")
    assert [change.backend for change in changes] == ["coral", "cpu", "coral"]
    accelerator.close()


def test_a_compiled_model_of_other_shapes_is_not_used(bench: Bench) -> None:
    other = Path(__file__).parents[2] / "data" / "edgetpu" / "stranded.tflite"
    with pytest.raises(CoralFailed, match="1 inputs and 2 outputs"):
        open_coral([other], str(bench.library), package=INTERPRETERS[0])


OPEN = """
import sys
from pathlib import Path
from device.inference.edgetpu.client import CoralError, open_coral
try:
    open_coral([Path(sys.argv[1])], sys.argv[2], package=sys.argv[3]).close()
    print("opened")
except CoralError as error:
    print(error)
"""


def test_a_file_without_permission_is_named_as_such(bench: Bench, tmp_path: Path) -> None:
    folder = bench.plain.parent
    secret = folder / "secret_edgetpu.tflite"
    secret.write_bytes(bench.compiled.read_bytes())
    library = folder / "secret.so"
    library.write_bytes(bench.library.read_bytes())
    for path in (secret, library):
        path.chmod(0)
    assert unprivileged(OPEN, str(bench.compiled), str(bench.library), INTERPRETERS[0]) == "opened\n"
    assert "cannot be read" in unprivileged(OPEN, str(secret), str(bench.library), INTERPRETERS[0])
    assert "may not be read" in unprivileged(OPEN, str(bench.compiled), str(library), INTERPRETERS[0])


@pytest.mark.parametrize(
    ("model", "library", "says"),
    [
        ("absent_edgetpu.tflite", None, "cannot be read"),
        (None, "absent.so", "libedgetpu is not installed"),
        (__file__, None, "no TFLite model"),
    ],
)
def test_what_is_missing_is_said(bench: Bench, model: str | None, library: str | None, says: str) -> None:
    with pytest.raises(CoralFailed, match=says):
        open_coral(
            [bench.compiled if model is None else Path(model)],
            str(bench.library if library is None else bench.library.with_name(library)),
            package=INTERPRETERS[0],
        )


def test_the_child_ends_with_its_parent_even_in_a_call_that_never_returns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, sys
from pathlib import Path
from device.inference.edgetpu.client import CoralStart
start = CoralStart([Path({str(bench.compiled)!r})], {str(bench.library)!r}, {INTERPRETERS[0]!r})
print(start.pid, flush=True)
start.poll(3.0)
os._exit(0)
"""
    monkeypatch.setenv("FAKE_CORAL", "invoke:hang:0")
    child = int(unprivileged(code).split()[0])
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


PYCORAL = """
from {package}.interpreter import Interpreter, load_delegate

def make_interpreter(model, device=None):
    delegate = load_delegate({library!r}, {{"device": device}})
    return Interpreter(model_path=model, experimental_delegates=[delegate])
"""


def test_corals_pycoral_is_used_where_its_interpreter_is_installed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = tmp_path / "pycoral" / "utils"
    utils.mkdir(parents=True)
    text = PYCORAL.format(package="tflite_runtime", library=str(bench.library))
    (utils / "edgetpu.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with bench.coral() as coral:
        paired = "tflite_runtime" in INTERPRETERS
        assert coral.route.startswith("pycoral on tflite_runtime" if paired else f"load_delegate on {INTERPRETERS[0]}")
        (window,) = windows(1)
        np.testing.assert_array_equal(coral.invoke(window), expected(window))


def test_an_unrelated_pycoral_is_never_run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pycoral"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('this must not run')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with bench.coral() as coral:
        assert coral.route.startswith("load_delegate on")


def test_a_compiled_set_of_another_size_is_not_used(bench: Bench) -> None:
    accelerator = FallbackAccelerator(CpuAccelerator(bench.plain), bench.start)
    accelerator.wait(20.0)
    assert accelerator.name == "cpu" and "3 parts, not 1: build the bundle again" in str(accelerator.problem)
    accelerator.close()


def test_all_models_share_one_process_and_one_delegate(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan counts calls in the library's memory: the fourth good call of any model is the last."""
    monkeypatch.setenv("FAKE_CORAL", "invoke:error:4")  # three of them when starting
    coral = bench.coral()
    coral.invoke(np.zeros(OTHER, np.int8), 1)
    with pytest.raises(CoralFailed, match="the Coral is gone"):
        coral.invoke(np.zeros(SHAPE, np.int8), 0)
