"""The converted parts of a model that the repository ships, for machines without TensorFlow.

``models/<name>/prebuilt/`` holds the int8 encoder, the front end and the quality report as `convert/build.py --ship`
left them, and ``prebuilt.json``: the SHA-256 of each, and of everything that they were made from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert import dependencies
from convert.errors import SourceError
from models.bundle import replacing, sha256
from models.manifest import Manifest

FOLDER, RECORD = "prebuilt", "prebuilt.json"
FILES = {
    "encoder": "encoder.tflite",
    "front_end": "front_end.npz",
    "quality": "quality.json",
    "quality_plot": "quality.png",
}
MADE_BY = ("convert.onnx.split", "convert.quantization.quantize")
ADVICE = "run `make bundle`, which converts the model"


def read(chosen: Manifest) -> dict[str, Path]:
    """Role -> file of what is shipped for `chosen`, the head among them.

    SourceError where nothing is shipped, a file is missing or altered, or the manifest, its weights or its calibration
    are no longer those that the files were made from.
    """
    folder = chosen.file(FOLDER)
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        digests, inputs = dict(record["files"]), dict(record["inputs"])
    except FileNotFoundError:
        raise SourceError(f"{chosen.path}: no converted encoder is shipped with this model; {ADVICE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder / RECORD}: cannot be read ({error!r}); {ADVICE}") from None
    if changed := [name for name, value in made_from(chosen).items() if inputs.get(name) != value]:
        raise SourceError(f"{folder}: was made from another {' and '.join(changed)} than {chosen.path} names; {ADVICE}")
    found = {role: folder / name for role, name in FILES.items()}
    for role, path in found.items():
        if not path.is_file() or sha256(path) != digests.get(role):
            raise SourceError(f"{path}: missing or altered; restore it with git, or {ADVICE}")
    return {**found, "head": _head(chosen)}


def write(chosen: Manifest, files: Mapping[str, Path]) -> Path:
    """Copies the parts (role -> file) beside the manifest with the record of what made them; the folder.

    SourceError where the model's head does not lie beside the manifest too, as it has to for `read`.
    """
    _head(chosen)
    folder = chosen.file(FOLDER)
    code = [(str(path.relative_to(dependencies.ROOT)), sha256(path)) for path in dependencies.sources(*MADE_BY)]
    with replacing(folder) as part:
        for role, name in FILES.items():
            shutil.copyfile(files[role], part / name)
        record = {
            "files": {role: sha256(part / name) for role, name in FILES.items()},
            "inputs": made_from(chosen),
            "code": {"modules": MADE_BY, "sha256": _digest(code)},
            "libraries": dict(dependencies.libraries(*MADE_BY)),
        }
        (part / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return folder


def made_from(chosen: Manifest) -> dict[str, str]:
    """What decides the converted parts, by name: hashes of weights and calibration, and of the manifest's settings."""
    trained, calibration, acoustic = chosen.trained, chosen.calibration, chosen.source.assets.get("acoustic")
    settings = (chosen.cut, chosen.front_end, chosen.filters, chosen.window, calibration)
    return {
        "source": acoustic.sha256 if acoustic else "",
        "encoder": trained.encoder_sha256 if trained else "",
        "head": trained.head_sha256 if trained else "",
        "calibration": calibration.sha256 if calibration else "",
        "settings": _digest([dataclasses.asdict(value) if value else None for value in settings]),
    }


def _head(chosen: Manifest) -> Path:
    if chosen.trained is None or not chosen.file(chosen.trained.head).is_file():
        raise SourceError(f"{chosen.path}: no head lies beside this manifest (trained.head); {ADVICE}")
    return chosen.file(chosen.trained.head)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
