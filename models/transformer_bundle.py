"""The bundle of a transformer: an encoder in int8 pieces, what the CPU does between them, and a decoder.

As models/bundle.py is for CTC models, this is the contract between convert/, which writes it, and device/, which reads
it. The files are those of FILES and, for each piece, NAME.tflite and, where it was compiled, NAME_edgetpu.tflite.

    bundle = TransformerBundle.open("models/build/moonshine-tiny")
    weights, around = bundle.weights(), bundle.pieces()
    hidden = moonshine.encode(weights, stem.frames(), lambda name, x: around[name].run(x, frames, invoke[name]))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models import bundle, checked, moonshine, pieces
from models.bundle import BundleError, EdgeTpu, Licence
from models.moonshine import Weights
from models.pieces import Piece

KIND = "transformer"
FORMAT = 3  # 2: the decoder is two ONNX graphs and their weights; licences with their texts. 3: the tokens of English
FILES = (
    "encoder.npz",  # models.moonshine.Weights, the part on the CPU
    "pieces.npz",  # models.pieces: scales and offsets around the pieces
    "decoder_cross.onnx",  # hidden float32 [1, T, C] -> keys and values of the cross-attention
    "decoder_step.onnx",  # any number of hypotheses a token further; see models/decoder_steps.py
    "decoder.bin",  # the weights of both, which they name by their place in it
    "tokenizer.bin",  # the tokens, each behind its length, empty where the decoder does not know it
    "quality.json",  # what the build measured
    "NOTICE",
)


@dataclass(frozen=True)
class Description:
    """All of bundle.json but the checksums."""

    name: str
    source: str  # where the weights come from, for people
    licences: Mapping[str, Licence]  # part of the bundle -> its licence
    frames: int  # a call of a piece: [1, 1, frames, channels] int8
    layers: int
    edge_tpu: EdgeTpu
    kind: str = KIND
    format: int = FORMAT


@dataclass(frozen=True)
class TransformerBundle:
    """An opened bundle: its description and where its files are."""

    root: Path
    description: Description
    files: Mapping[str, str] = field(repr=False)  # name -> SHA-256

    @classmethod
    def open(cls, root: str | Path, verify: bool = True) -> TransformerBundle:
        """Reads bundle.json and, unless `verify` is false, checks every file against its SHA-256.

        Raises BundleError when there is no bundle, its kind or format is another, or a file is missing or altered.
        """
        root = Path(root)
        raw = bundle.read(root, KIND, FORMAT)
        try:
            description = checked.load(Description, raw["description"], "description")
            names = moonshine.pieces(description.layers)
            known = {*FILES, *(_model(name, edge_tpu) for name in names for edge_tpu in (False, True))}
            texts = bundle.licence_texts(description.licences)
            opened = cls(root, description, checked.digests(raw.get("files"), known | texts))
        except ValueError as error:
            raise BundleError(f"{root / bundle.DESCRIPTION}: {error}; build the bundle again") from None
        compiled = opened.description.edge_tpu.compiled
        for name in sorted({*FILES, *texts, *opened._models(False), *(opened._models(True) if compiled else ())}):
            if name not in opened.files:
                raise BundleError(f"{root}: the bundle has no {name}; build it again")
        bundle.check(root, opened.files, verify)
        return opened

    def piece(self, name: str, edge_tpu: bool = False) -> Path:
        """The model of a piece: for the CPU or, where the bundle was compiled, for the Edge TPU."""
        return self._file(_model(name, edge_tpu))

    @property
    def decoder_cross(self) -> Path:
        return self._file("decoder_cross.onnx")

    @property
    def decoder_step(self) -> Path:
        return self._file("decoder_step.onnx")

    @property
    def tokenizer(self) -> Path:
        return self._file("tokenizer.bin")

    @property
    def names(self) -> list[str]:
        """The pieces in the order of computation."""
        return moonshine.pieces(self.description.layers)

    def weights(self) -> Weights:
        """The encoder's part on the CPU."""
        try:
            return Weights.load(self._file("encoder.npz"))
        except (OSError, KeyError, ValueError) as error:
            raise BundleError(f"{self.root / 'encoder.npz'}: {error}; build the bundle again") from None

    def pieces(self) -> dict[str, Piece]:
        """What the CPU does around each piece."""
        try:
            return pieces.load(self._file("pieces.npz"))
        except (OSError, KeyError, ValueError) as error:
            raise BundleError(f"{self.root / 'pieces.npz'}: {error}; build the bundle again") from None

    def _models(self, edge_tpu: bool) -> list[str]:
        return [_model(name, edge_tpu) for name in self.names]

    def _file(self, name: str) -> Path:
        if name not in self.files:
            raise BundleError(f"{self.root}: the bundle has no {name}")
        return self.root / name


def write(root: str | Path, description: Description, files: Mapping[str, Path]) -> TransformerBundle:
    """Copies `files` (name -> file) and the description to `root`, replacing what is there in one rename.

    The texts of `description.licences` are among the files: see `models.bundle.licence_texts`.
    """
    described = dataclasses.asdict(description)
    bundle.replace(
        Path(root), lambda digests: {"description": described, "files": digests}, files, TransformerBundle.open
    )
    return TransformerBundle.open(root, verify=False)


def _model(name: str, edge_tpu: bool) -> str:
    return f"{name}_edgetpu.tflite" if edge_tpu else f"{name}.tflite"
