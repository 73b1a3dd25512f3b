"""Which libedgetpu goes with which TensorFlow Lite interpreter.

A libedgetpu built for another TensorFlow does not raise, it crashes: it hands the interpreter a structure by
value whose size has changed since (google-coral/edgetpu#812, google-coral/libedgetpu#53).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from device.inference.interpreter import PACKAGES

LIBRARY = "libedgetpu.so.1"
DPKG_STATUS = Path("/var/lib/dpkg/status")
GOOGLE_TENSORFLOW = (2, 5, 0)
"""What Google's own package, version 16.0, was built with."""


class Pairing(Enum):
    """How well a library and an interpreter go together."""

    GOOD = "known good"
    UNKNOWN = "not known"
    BAD = "known to crash"


@dataclass(frozen=True)
class KnownPair:
    """A pairing that someone runs: library and interpreter versions, and where that is written."""

    tensorflow: tuple[int, int, int]
    package: str
    version: str
    source: str


KNOWN_GOOD = (
    KnownPair((2, 17, 1), "tflite_runtime", "2.17.1", "Frigate docker/main; feranick/libedgetpu 16.0TF2.17.1-1"),
    KnownPair((2, 19, 1), "tflite_runtime", "2.17.1", "GitHub index 70415389460, Trixie with Python 3.12"),
    KnownPair((2, 19, 1), "ai_edge_litert", "1.2.0", "GitHub index 71518326413, Bookworm"),
    KnownPair((2, 19, 1), "ai_edge_litert", "2.2.0", "jiteshsaini/coral_USB_ml_accelerator, setup_coral.sh"),
)
"""Pairings reported to work on a Raspberry Pi; none could be run here."""

ADVICE = (
    "use a pairing that is known to work: libedgetpu1-std 16.0tf2.19.1-1 with ai-edge-litert 2.2.0, or "
    "16.0tf2.17.1-1 with tflite_runtime 2.17.1 (docs/edge-tpu.md)"
)


@dataclass(frozen=True)
class Library:
    """The installed libedgetpu package: its Debian version and the TensorFlow it was built with, if known."""

    package: str
    version: str
    tensorflow: tuple[int, ...] | None


def installed_library(status: Path = DPKG_STATUS) -> Library | None:
    """The libedgetpu that dpkg knows; None if it knows none (a copied library works too, but has no version)."""
    try:
        text = status.read_text(errors="replace")
    except OSError:
        return None
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line[:40])
        if re.fullmatch(r"libedgetpu1-(std|max)", fields.get("Package", "")) and "installed" in fields.get(
            "Status", ""
        ).split(" "):
            version = fields.get("Version", "")
            return Library(fields["Package"], version, _tensorflow(version))
    return None


def interpreters() -> dict[str, str]:
    """Installed interpreters and their versions, in the order in which the device prefers them."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package.replace("_", "-"))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def judge(library: Library | None, package: str, version: str) -> Pairing:
    """How well an installed library goes with an interpreter package.

    >>> judge(Library("libedgetpu1-std", "16.0", (2, 5, 0)), "ai_edge_litert", "2.2.0")
    <Pairing.BAD: 'known to crash'>
    """
    if library is None or library.tensorflow is None:
        return Pairing.UNKNOWN
    if any((k.tensorflow, k.package, k.version) == (library.tensorflow, package, version) for k in KNOWN_GOOD):
        return Pairing.GOOD
    if library.tensorflow < (2, 12) and _version_numbers(version) >= (2, 12):
        return Pairing.BAD
    if library.tensorflow < (2, 12) and package == "ai_edge_litert":
        return Pairing.BAD
    return Pairing.UNKNOWN


def preferred(library: Library | None, installed: dict[str, str]) -> str | None:
    """The interpreter package to use with this library: a known good one first, then the first installed."""
    order = sorted(installed, key=lambda name: _RANK[judge(library, name, installed[name])])
    return order[0] if order else None


def coral_pycoral() -> bool | None:
    """Whether the importable `pycoral` is Coral's; None if there is none.

    The package registry's `pycoral` is an unrelated program with the same name; nothing of it is run here.
    """
    spec = importlib.util.find_spec("pycoral")
    if spec is None:
        return None
    places = spec.submodule_search_locations or ()
    return any(Path(place, "utils", "edgetpu.py").exists() for place in places)


_RANK = {Pairing.GOOD: 0, Pairing.UNKNOWN: 1, Pairing.BAD: 2}


def _tensorflow(version: str) -> tuple[int, ...] | None:
    built = re.search(r"tf(\d+(?:\.\d+)*)", version)
    if built:
        return _version_numbers(built[1])
    return GOOGLE_TENSORFLOW if re.match(r"1[0-6]\.\d+(-\d+)?$", version) else None


def _version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
