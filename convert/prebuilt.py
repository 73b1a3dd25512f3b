"""The converted parts of a model that the repository ships, for machines without TensorFlow.

``models/<name>/prebuilt/`` holds what `convert/build.py --ship` left there: of a CTC model the int8 encoder, the front
end and the quality report; of a transformer the int8 pieces, what the CPU does around them, and the report. Beside them
is ``prebuilt.json``: the SHA-256 of each, and of everything that they were made from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convert import dependencies
from convert.errors import SourceError
from models.bundle import replacing, sha256
from models.manifest import Manifest, Origin, TransformerManifest

FOLDER, RECORD = "prebuilt", "prebuilt.json"
FILES = {
    "encoder": "encoder.tflite",
    "front_end": "front_end.npz",
    "quality": "quality.json",
    "quality_plot": "quality.png",
}
CTC = ("convert.onnx.split", "convert.quantization.quantize")
TRANSFORMER = ("convert.transformer.fold", "convert.transformer.quantize")
ADVICE = "run `make bundle`, which converts the model"


def read(chosen: Manifest) -> dict[str, Path]:
    """Role -> file of what is shipped for `chosen`, the head among them.

    SourceError where nothing is shipped, a file is missing or altered, or the manifest, its weights or its calibration
    are no longer those that the files were made from.
    """
    found = read_files(chosen, FILES.values(), made_from(chosen))
    return {**{role: found[name] for role, name in FILES.items()}, "head": _head(chosen)}


def write(chosen: Manifest, files: Mapping[str, Path]) -> Path:
    """Copies the parts (role -> file) beside the manifest with the record of what made them; the folder.

    SourceError where the model's head does not lie beside the manifest too, as it has to for `read`.
    """
    _head(chosen)
    return write_files(chosen, {name: files[role] for role, name in FILES.items()}, made_from(chosen), CTC)


def read_pieces(chosen: TransformerManifest) -> dict[str, Path]:
    """Name -> file of what is shipped for `chosen`: pieces, pieces.npz and quality.json; SourceError as in `read`."""
    return read_files(chosen, None, made_pieces_from(chosen))


def write_pieces(chosen: TransformerManifest, files: Mapping[str, Path]) -> Path:
    """Copies the parts (name -> file) beside the manifest with the record of what made them; the folder."""
    return write_files(chosen, files, made_pieces_from(chosen), TRANSFORMER)


def read_files(chosen: Origin, names: Iterable[str] | None, made_from: Mapping[str, str]) -> dict[str, Path]:
    """Name -> file of what is shipped for `chosen`: these `names`, or all of its record; SourceError as in `read`.

    `made_from` is what has to have gone into them, as the record says it.
    """
    folder = chosen.file(FOLDER)
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        digests, inputs = dict(record["files"]), dict(record["inputs"])
    except FileNotFoundError:
        raise SourceError(f"{chosen.path}: no converted encoder is shipped with this model; {ADVICE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder / RECORD}: cannot be read ({error!r}); {ADVICE}") from None
    if changed := [name for name, value in made_from.items() if inputs.get(name) != value]:
        raise SourceError(f"{folder}: was made from another {' and '.join(changed)} than {chosen.path} names; {ADVICE}")
    found = {name: folder / Path(name).name for name in (digests if names is None else names)}
    for name, path in found.items():
        if not path.is_file() or sha256(path) != digests.get(name):
            raise SourceError(f"{path}: missing or altered; restore it with git, or {ADVICE}")
    return found


def write_files(
    chosen: Origin, files: Mapping[str, Path], made_from: Mapping[str, str], modules: tuple[str, ...]
) -> Path:
    """Copies `files` (name -> file) beside the manifest, with the record of what they were made from and by."""
    folder = chosen.file(FOLDER)
    code = [(str(path.relative_to(dependencies.ROOT)), sha256(path)) for path in dependencies.sources(*modules)]
    with replacing(folder) as part:
        for name, file in files.items():
            shutil.copyfile(file, part / name)
        record = {
            "files": {name: sha256(part / name) for name in files},
            "inputs": made_from,
            "code": {"modules": modules, "sha256": _digest(code)},
            "libraries": dict(dependencies.libraries(*modules)),
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


def made_pieces_from(chosen: TransformerManifest) -> dict[str, str]:
    """The same for a transformer's pieces."""
    assets, calibration = chosen.source.assets, chosen.calibration
    settings = [dataclasses.asdict(chosen.encoder), dataclasses.asdict(chosen.pieces), calibration.seconds]
    return {
        "source": assets["encoder"].sha256,
        "calibration": _digest([assets[role].sha256 for role in calibration.assets]),
        "settings": _digest(settings),
    }


def _head(chosen: Manifest) -> Path:
    if chosen.trained is None or not chosen.file(chosen.trained.head).is_file():
        raise SourceError(f"{chosen.path}: no head lies beside this manifest (trained.head); {ADVICE}")
    return chosen.file(chosen.trained.head)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
