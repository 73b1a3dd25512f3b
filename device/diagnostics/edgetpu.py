"""What `dictate doctor` looks at: each check gives one line, and what to do where it is not well.

A group of checks is a function that returns a list; the command prints the groups one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.diagnostics.check import Check, CheckState
from device.inference.accelerator import Backend
from device.inference.edgetpu import compatibility
from device.inference.edgetpu.client import CoralAccelerator, CoralError, open_coral
from device.inference.edgetpu.compatibility import Library, Pairing
from device.inference.edgetpu.usb import PERMISSION_ADVICE, UsbCoral, find_coral, permitted
from device.system import release_info


@dataclass(frozen=True)
class CoralEnvironment:
    """What the Coral checks look at, so that tests can point them elsewhere."""

    find: Callable[[], UsbCoral | None] = find_coral
    permitted: Callable[[UsbCoral], bool] = permitted
    library: Callable[[], Library | None] = compatibility.installed_library
    interpreters: Callable[[], dict[str, str]] = compatibility.interpreters
    pycoral: Callable[[], bool | None] = compatibility.coral_pycoral
    left_out: Callable[[], bool] = release_info.without_coral
    open: Callable[[Sequence[Path]], CoralAccelerator] = lambda models: open_coral(models, start_s=20.0)


def coral_checks(
    backend: Backend, compiled: Sequence[Path] | None, setting: CoralEnvironment = CoralEnvironment()
) -> list[Check]:
    """The chain from the USB plug to the backend in use; `compiled` are the models that were compiled for the Edge TPU.

    Loads them on the Coral in a child process if everything before it is well, so it may take seconds.
    """
    return list(_coral_chain(backend, compiled, setting))


def _coral_chain(backend: Backend, models: Sequence[Path] | None, setting: CoralEnvironment) -> Iterator[Check]:
    missed = CheckState.BAD if backend == "coral" else CheckState.NOTE
    coral = setting.find()
    yield _usb(coral, missed)
    allowed = coral is not None and setting.permitted(coral)
    if coral is not None:
        yield _permission(coral, allowed)
    library, interpreters = setting.library(), setting.interpreters()
    yield _library(library, missed, setting.left_out())
    package = compatibility.preferred(library, interpreters)
    yield _interpreter(package, interpreters)
    if library is not None and package is not None:
        yield _pairing(library, package, interpreters[package])
    yield _pycoral(setting.pycoral())
    yield _bundle(models, missed)
    yield _used(backend, models, allowed and package is not None, missed, setting)


def _usb(coral: UsbCoral | None, missed: CheckState) -> Check:
    if coral is None:
        return Check("Coral on USB", missed, "none found", "plug it into a blue USB 3 port")
    if coral.slow:
        advice = "use a blue port and the short USB 3 cable that came with it"
        return Check("Coral on USB", CheckState.NOTE, f"{coral}: USB 2", advice)
    return Check("Coral on USB", CheckState.GOOD, str(coral))


def _permission(coral: UsbCoral, allowed: bool) -> Check:
    if allowed:
        return Check("permission", CheckState.GOOD, f"{coral.node} can be opened")
    return Check("permission", CheckState.BAD, f"{coral.node} may not be opened", PERMISSION_ADVICE)


def _library(library: Library | None, missed: CheckState, left_out: bool) -> Check:
    if library is None and left_out:
        advice = "build the image again without that option, see docs/image.md"
        return Check("libedgetpu", missed, "left out: this image was built --without-coral", advice)
    if library is None:
        advice = "install the package libedgetpu1-std, see docs/edge-tpu.md"
        return Check("libedgetpu", missed, "dpkg knows none (one copied by hand has no version)", advice)
    built = ".".join(map(str, library.tensorflow)) if library.tensorflow else "an unknown version"
    return Check("libedgetpu", CheckState.GOOD, f"{library.package} {library.version}, for TensorFlow {built}")


def _interpreter(package: str | None, interpreters: dict[str, str]) -> Check:
    if package is None:
        advice = "`pip install coral-dictation[device]`"
        return Check("interpreter", CheckState.BAD, "neither tflite_runtime nor ai_edge_litert", advice)
    others = [f"{name} {version}" for name, version in interpreters.items() if name != package]
    also = f" (also there: {', '.join(others)})" if others else ""
    return Check("interpreter", CheckState.GOOD, f"{package} {interpreters[package]}{also}")


def _pairing(library: Library, package: str, version: str) -> Check:
    pairing = compatibility.judge(library, package, version)
    state = {Pairing.GOOD: CheckState.GOOD, Pairing.UNKNOWN: CheckState.NOTE, Pairing.BAD: CheckState.BAD}[pairing]
    detail = f"libedgetpu {library.version} with {package} {version}"
    advice = "" if pairing is Pairing.GOOD else compatibility.ADVICE
    return Check("pairing", state, f"{detail}: {pairing.value}", advice)


def _pycoral(corals: bool | None) -> Check:
    if corals is None:
        return Check("pycoral", CheckState.GOOD, "not installed, not needed")
    if corals:
        return Check("pycoral", CheckState.GOOD, "Coral's, used to load the model")
    advice = "`pip uninstall pycoral`; never `pip install pycoral`: that name belongs to another program"
    return Check("pycoral", CheckState.BAD, "an unrelated program of that name is installed", advice)


def _bundle(models: Sequence[Path] | None, missed: CheckState) -> Check:
    if not models:
        advice = "build the bundle on a machine with the compiler, see docs/edge-tpu.md"
        return Check("bundle", missed, "holds no encoder compiled for the Edge TPU", advice)
    return Check("bundle", CheckState.GOOD, f"compiled encoder {models[0].name}" + _more(models))


def _more(models: Sequence[Path]) -> str:
    return f" and {len(models) - 1} pieces of the second pass" if len(models) > 1 else ""


def _used(
    backend: Backend, models: Sequence[Path] | None, possible: bool, missed: CheckState, setting: CoralEnvironment
) -> Check:
    if backend == "cpu":
        return Check("backend", CheckState.GOOD, "the CPU, as configured")
    if not models or not possible:
        return Check("backend", missed, "the CPU, because of what stands above")
    try:
        with setting.open(models) as coral:
            detail = f"the Coral, through {coral.route}; {coral.runtime or 'runtime version unknown'}"
            return Check("backend", CheckState.GOOD, detail)
    except CoralError as error:
        cause, _, advice = str(error).partition(": ")
        return Check("backend", CheckState.BAD, f"the CPU, because {cause}", advice)
