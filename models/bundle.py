"""What a bundle is: the one contract between convert/, which writes it, and device/, which reads it.

A bundle is a directory with a description, ``bundle.json``, and the files that it names with their SHA-256. It is
written beside its place and renamed, so that a reader sees the old bundle or the new one, never half of either.

    >>> from models.bundle import Bundle
    >>> bundle = Bundle.open("models/build/base")                       # doctest: +SKIP
    >>> bundle.window.frames, bundle.path("encoder").name                # doctest: +SKIP
    (480, 'encoder.tflite')
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import checked
from models.errors import UserError
from models.files import alone

# 2: the head is ONNX, and a float32 encoder has a role of its own; 3: licences, with their texts; 4: the head may take
# WANTED, which one of format 3 does not
FORMAT, OLDEST = 4, 3
KIND = "ctc"  # the kind of a bundle whose description names none
DESCRIPTION = "bundle.json"
WANTED = ("start", "end")  # int64 [1], optional inputs of a head: it answers for the frames from one up to the other
LICENCES = "LICENSES"  # a bundle's folder of licence texts
SECOND_PASS, BUILT_SECOND_PASS = "second-pass", "moonshine-tiny"  # folder in a release's bundle, and in models/build

# role -> file name. Optional roles are absent from bundle.json's "files" when the model does not have them.
FILES = {
    "encoder": "encoder.tflite",  # int8 in and out, static shapes, runs on any CPU; absent from a float32 bundle
    "encoder_edgetpu": "encoder_edgetpu.tflite",  # the same after edgetpu_compiler; optional
    # float32 hidden [1, C, frames / stride] -> log posteriors [1, frames / stride, tokens], fewer where it takes WANTED
    "head": "head.onnx",
    "front_end": "front_end.npz",  # dft float32 [2 * bins, fft] and mel float32 [bins, mels], bins = fft // 2 + 1
    "tokens": "tokens.txt",  # one token a line, in the order of the posteriors
    "lexicon": "lexicon.npz",  # see convert/words/lexicon.py
    "language": "language.bin",  # KenLM trie
    "g2p_encoder": "g2p_encoder.onnx",  # grapheme-to-phoneme model, for words that a user adds; optional
    "g2p_decoder": "g2p_decoder.onnx",
    "g2p_vocab": "g2p_vocab.json",
    "onnx_encoder": "encoder.onnx",  # float32 log-mel [1, mels, frames] -> hidden [1, C, frames / stride]; optional
    "onnx_encoder_int8": "encoder_int8.onnx",  # the same by ONNX Runtime's static quantizer; optional
    "quality": "quality.json",  # what verify measured
    "quality_plot": "quality.png",
    "notice": "NOTICE",
}
OPTIONAL = {
    "encoder",
    "encoder_edgetpu",
    "g2p_encoder",
    "g2p_decoder",
    "g2p_vocab",
    "quality_plot",
    "onnx_encoder",
    "onnx_encoder_int8",  # only in a bundle to compare with
}


class BundleError(UserError):
    """The bundle cannot be used; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class FrontEnd:
    """How samples become log-mel frames: windowed DFT, power, mel filters, natural logarithm.

    The DFT's basis, bins cosines and then bins sines with the window in them, and the mel filters are arrays in the
    bundle: those of the model's own graph where it has them, which differ from the ideal ones by up to 0.02 in log-mel.
    """

    sample_rate: int = 16_000  # Hz
    fft: int = 400  # samples a frame, before zero padding to nothing: the DFT has this length
    hop: int = 160  # samples from one frame to the next
    mels: int = 80
    log_floor: float = 1e-10  # mel power is raised to this before the logarithm
    feature_floor: float = -16.0  # log-mel is raised to this before it enters the encoder; also stands for no sound
    center: bool = True  # reflect fft // 2 samples at either end, as torch.stft(center=True) does
    preemphasis: float = 0.0
    mean: float = 0.0  # (log-mel - mean) / scale enters the encoder
    scale: float = 1.0


@dataclass(frozen=True)
class Window:
    """How frames become windows: each call hears `frames` frames and adds the posteriors of the newest unheard ones.

    Of a window's frames, the last `right` are only context; of those before, as many as are new are kept. `hop` is how
    many frames are new in each call that keeps some. A listening device also looks ahead, at what has been heard since:
    once every `live_hop` frames, at all but the newest `live_right`.
    """

    frames: int  # log-mel frames a call
    stride: int  # log-mel frames for each posterior frame
    hop: int
    right: int
    live_hop: int = 30
    live_right: int = 0

    @property
    def fault(self) -> str:
        """What is wrong with the values taken together; empty if nothing is.

        >>> Window(frames=80, stride=2, hop=60, right=30).fault
        'hop 60 and right 30 are longer together than the window of 80 frames'
        """
        if self.hop + self.right > self.frames:
            return f"hop {self.hop} and right {self.right} are longer together than the window of {self.frames} frames"
        lengths = {"frames": self.frames, "hop": self.hop, "right": self.right, "live_right": self.live_right}
        uneven = [f"{name} {value}" for name, value in lengths.items() if value % self.stride]
        return f"{' and '.join(uneven)} must be a multiple of stride {self.stride}" if uneven else ""


@dataclass(frozen=True)
class Tensor:
    """A model's input or output: its static shape and, for int8, real = scale * (int8 - zero_point)."""

    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Search:
    """Defaults of the CTC search, tuned for this model and language model."""

    beam: int = 100
    beam_tokens: int = 20
    beam_threshold: float = 25.0
    lm_weight: float = 1.0
    word_score: float = 0.0
    blank_skip: float = 0.999  # a frame whose blank posterior is above this, after such a frame, is not searched


@dataclass(frozen=True)
class EdgeTpu:
    """Whether the encoder was compiled for the Edge TPU, and if not, why."""

    compiled: bool
    detail: str  # the compiler's version, or the reason


@dataclass(frozen=True)
class Licence:
    """The terms under which a part of a bundle may be passed on, and where the part comes from."""

    spdx: str  # an SPDX licence expression
    source: str  # for people
    texts: tuple[str, ...] = ()  # file names in LICENSES/


@dataclass(frozen=True)
class Description:
    """All of bundle.json but the checksums."""

    name: str
    source: str  # where the weights come from, for people
    licences: Mapping[str, Licence]  # part of the bundle -> its licence: "acoustic", "language", …
    blank: int  # index of the CTC blank among the tokens
    boundary: int | None  # index of the word-boundary token, if the model has one
    unit: str  # "phone", "char" or "bpe": what a token spells
    front_end: FrontEnd
    window: Window
    encoder_input: Tensor  # [1, 1, frames, mels] int8; float32 in a bundle that convert made to compare with
    encoder_output: Tensor  # [1, 1, frames / stride, hidden] int8 or float32, as the input
    head_input: Tensor  # [1, hidden, frames / stride] float32
    head_output: Tensor  # [1, frames / stride, tokens] float32
    search: Search
    edge_tpu: EdgeTpu
    format: int = FORMAT


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its description and where its files are."""

    root: Path
    description: Description
    files: Mapping[str, str] = field(repr=False)  # role -> SHA-256

    @classmethod
    def open(cls, root: str | Path, verify: bool = True) -> Bundle:
        """Reads bundle.json and, unless `verify` is false, checks every file against its SHA-256.

        Raises BundleError when there is no bundle, its format is another, or a file is missing or altered.
        """
        root = Path(root)
        raw = read(root, KIND, FORMAT, OLDEST)
        try:
            description = checked.load(Description, raw["description"], "description")
            if fault := description.window.fault:
                raise ValueError(f"description.window: {fault}")
            texts = licence_texts(description.licences)
            bundle = cls(root, description, checked.digests(raw.get("files"), {*FILES, *texts}))
        except ValueError as error:
            raise BundleError(f"{root / DESCRIPTION}: {error}; build the bundle again") from None
        for role in sorted((bundle._required() | texts) - bundle.files.keys()):
            raise BundleError(f"{root}: the bundle has no {role}; build it again")
        check(root, {FILES.get(role, role): digest for role, digest in bundle.files.items()}, verify)
        return bundle

    def _required(self) -> set[str]:
        """The roles that this bundle cannot be without: which encoder, its description says."""
        encoder = "encoder" if self.description.encoder_input.dtype == "int8" else "onnx_encoder"
        return {encoder, *(FILES.keys() - OPTIONAL)}

    @property
    def window(self) -> Window:
        return self.description.window

    def has(self, role: str) -> bool:
        return role in self.files

    def path(self, role: str) -> Path:
        """The file that plays `role`; BundleError if this bundle has none."""
        if role not in self.files:
            raise BundleError(f"{self.root}: the bundle has no {role}")
        return self.root / FILES[role]

    def optional(self, role: str) -> Path | None:
        """The file that plays `role`, or None if this bundle has none."""
        return self.path(role) if self.has(role) else None

    def tokens(self) -> list[str]:
        return self.path("tokens").read_text(encoding="utf-8").split("\n")[:-1]


def write(root: str | Path, description: Description, files: Mapping[str, Path]) -> Bundle:
    """Copies `files` (role -> file) and the description to `root`, replacing what is there in one rename.

    The texts of `description.licences` are among the files, by their path in the bundle: see `licence_texts`.
    """
    for role in files.keys() - FILES.keys() - licence_texts(description.licences):
        raise BundleError(f"{role} is no part of a bundle")

    def content(digests: Mapping[str, str]) -> Mapping[str, Any]:
        described = dataclasses.asdict(description)
        return {"description": described, "files": {role: digests[FILES.get(role, role)] for role in sorted(files)}}

    replace(Path(root), content, {FILES.get(role, role): file for role, file in files.items()}, Bundle.open)
    return Bundle.open(root, verify=False)


def licence_texts(licences: Mapping[str, Licence]) -> set[str]:
    """Where a bundle keeps the texts of its licences.

    >>> licence_texts({"acoustic": Licence("MIT", "me", ("MIT.txt",)), "language": Licence("MIT", "you", ("MIT.txt",))})
    {'LICENSES/MIT.txt'}
    """
    return {f"{LICENCES}/{text}" for licence in licences.values() for text in licence.texts}


def second_pass(first: Path) -> Path | None:
    """The bundle of the second recogniser that goes with the bundle `first`; None if there is none.

    A release has it in the first one's folder, a build writes it beside that.
    """
    for folder in (first / SECOND_PASS, first.with_name(BUILT_SECOND_PASS)):
        if (folder / DESCRIPTION).is_file():
            return folder
    return None


def read(root: Path, kind: str, format: int, oldest: int | None = None) -> dict[str, Any]:
    """What bundle.json in `root` holds; BundleError unless it describes a bundle of this kind and format.

    A format from `oldest` on is read as well.
    """
    try:
        raw = checked.parse((root / DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{root}: no bundle here ({DESCRIPTION} is missing); build one with `python convert/build.py`"
        ) from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{root / DESCRIPTION}: cannot be read ({error}); build the bundle again") from None
    described = raw.get("description")
    formats = range(format if oldest is None else oldest, format + 1)
    if not isinstance(described, dict) or (
        described.get("kind", KIND) == kind and described.get("format") not in formats
    ):
        readable = f"{formats[0]} to {format}" if len(formats) > 1 else format
        raise BundleError(f"{root}: this program reads bundle format {readable}; build the bundle again with it")
    if described.get("kind", KIND) != kind:
        raise BundleError(f"{root}: a bundle of the kind {described['kind']!r}, but a {kind!r} one is needed here")
    return raw


def check(root: Path, digests: Mapping[str, str], verify: bool) -> None:
    """BundleError unless every file (name -> SHA-256) is in `root` and, with `verify`, unaltered."""
    for name, digest in digests.items():
        if not (root / name).is_file():
            raise BundleError(f"{root / name}: missing from the bundle; build it again")
        if verify and sha256(root / name) != digest:
            raise BundleError(f"{root / name}: altered since the bundle was written; build it again")


def replace(
    root: Path,
    content: Callable[[Mapping[str, str]], Mapping[str, Any]],
    files: Mapping[str, Path],
    opened: Callable[[Path], object],
) -> None:
    """Writes bundle.json and `files` (name -> file) to `root`, replacing what is there in one rename.

    `content` makes what bundle.json holds of the files' SHA-256 by name; `opened` reads the new bundle before it takes
    the place of the old one. BundleError where it cannot be written.
    """
    try:
        with replacing(root) as part:
            for name, file in files.items():
                (part / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(file, part / name)
            digests = {name: sha256(part / name) for name in sorted(files)}
            (part / DESCRIPTION).write_text(json.dumps(content(digests), indent=1) + "\n")
            opened(part)
    except OSError as error:
        raise BundleError(f"{root}: the bundle could not be written ({error.strerror}); the last one is kept") from None


@contextmanager
def replacing(root: Path) -> Iterator[Path]:
    """An empty folder to put files into, which takes the place of `root` at the end, synced and in one rename.

    Where the block or the disk fails, the folder is gone and `root` is as it was. Processes that replace the same
    `root` take turns, and the last one's files stay.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with alone(root):
        part, old = root.with_name(f".{root.name}.part"), root.with_name(f".{root.name}.old")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            yield part
            for file in (path for path in part.rglob("*") if path.is_file()):
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            shutil.rmtree(old, ignore_errors=True)
            if root.exists():
                root.rename(old)
            part.rename(root)
        except OSError:
            if old.exists() and not root.exists():
                old.rename(root)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
