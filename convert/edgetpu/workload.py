"""Which models an Edge TPU runs for five seconds of speech, and how often: from bundles or bare TFLite files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models import moonshine
from models.bundle import DESCRIPTION, KIND, Bundle
from models.transformer_bundle import KIND as TRANSFORMER
from models.transformer_bundle import TransformerBundle

SECONDS = 5.0


@dataclass(frozen=True)
class Load:
    """A model and how many calls of it SECONDS of speech take; None where that is not known, and one is counted."""

    name: str
    path: Path
    calls: float | None = None


def loads(paths: Iterable[Path]) -> list[Load]:
    """What is to be run of these TFLite files and bundles (folders), in their order; BundleError for no bundle.

    A bundle's models are the int8 ones for the CPU, from which the compiler starts.
    """
    return [load for path in paths for load in (_of_bundle(path) if path.is_dir() else [Load(str(path), path)])]


def _of_bundle(root: Path) -> Iterator[Load]:
    if _kind(root) == TRANSFORMER:
        transformer = TransformerBundle.open(root, verify=False)
        samples = round(SECONDS * moonshine.SAMPLE_RATE)
        calls = math.ceil(moonshine.frames(samples) / transformer.description.frames)
        for name in transformer.names:
            yield Load(f"{root / name}.tflite", transformer.piece(name), calls)
        return
    ctc = Bundle.open(root, verify=False)
    window, front_end = ctc.window, ctc.description.front_end
    frames = SECONDS * front_end.sample_rate / front_end.hop
    yield Load(str(ctc.path("encoder")), ctc.path("encoder"), frames / window.hop + frames / window.live_hop)


def _kind(root: Path) -> str:
    """What bundle.json says; a CTC bundle where it says nothing, or is none: opening it says why."""
    try:
        kind = json.loads((root / DESCRIPTION).read_text())["description"]["kind"]
    except (OSError, ValueError, LookupError, TypeError):
        return KIND
    return kind if isinstance(kind, str) else KIND
