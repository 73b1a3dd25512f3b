"""A build from its source to its bundle, each stage kept by the hash of what it was made from."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convert import fetch, metadata, prebuilt
from convert.cache import Cache
from convert.edgetpu import fit, stage
from convert.edgetpu.compiled.compiler import Compiler
from convert.errors import ConvertError, SourceError
from convert.options import Options
from convert.progress import Display
from convert.quality import report
from convert.stages import Stages
from convert.transformer.pipeline import build_transformer
from convert.words import language_model, lexicon
from models import bundle, manifest
from models.bundle import Bundle, EdgeTpu
from models.lexicon import Lexicon
from models.manifest import Manifest, TransformerManifest
from models.transformer_bundle import TransformerBundle

if TYPE_CHECKING:
    from convert.conversion import Conversion

ROOT = Path(__file__).resolve().parents[1]


def build(options: Options, display: Display) -> Bundle | TransformerBundle:
    """Runs every stage and writes the bundle; raises a UserError or OSError and leaves the last bundle as it was."""
    chosen = manifest.read_any(options.manifest) if options.manifest else manifest.load_any(options.model)
    stages = Stages(Cache(options.cache), display)
    if isinstance(chosen, TransformerManifest):
        return build_transformer(options, chosen, stages)
    assert isinstance(chosen, Manifest)
    return _build(options, chosen, stages)


def _build(options: Options, chosen: Manifest, stages: Stages) -> Bundle:
    """The same for a CTC model."""
    display = stages.display
    compiler = stage.find(options.compiler, options.require_coral)
    with display.stage("source") as note:
        roles = [role for role in chosen.source.assets if role != "acoustic"]
        assets = {role: fetch.fetch(chosen, role) for role in roles}
        note(chosen.source.package)
    names = metadata.tokens(chosen, assets)
    words = _words(stages, chosen, assets, names)  # before the slow stages, so that a mistake here costs no minutes
    conversion = None if options.prebuilt else _convert(stages, chosen, options)
    files = {**words, "notice": _notice()}
    files |= conversion.files if conversion else prebuilt.read(chosen)
    with display.stage("mapping") as note:
        mapping = fit.require(files["encoder"])
        note(f"{mapping.mapped} of {len(mapping.ops)} operators on the Edge TPU")
    edge_tpu = EdgeTpu(False, f"not compiled: {stage.HOW}")
    if compiler is not None:
        files["encoder_edgetpu"], edge_tpu = _compile(stages, compiler, files["encoder"])
    description = metadata.description(chosen, files["encoder"], files["head"], names, edge_tpu)
    tokens = stages.run(
        "tokens",
        [],
        {"tokens": names},
        lambda out: (out / "tokens.txt").write_text("".join(f"{t}\n" for t in names), encoding="utf-8"),
    )
    files["tokens"] = tokens / "tokens.txt"
    if conversion:
        files |= conversion.verify(options.speech, description, files, force=options.force)
    out = options.out or ROOT / "models" / "build" / chosen.name
    with display.stage("bundle") as note:
        made = bundle.write(out, description, files)
        note(str(out))
    if conversion and options.comparison is not None:
        conversion.compare(options.comparison, description, files)
    if options.ship:
        display.lines(f"shipped: {prebuilt.write(chosen, files)}")
    display.lines(report.summary(json.loads(files["quality"].read_text())))
    if compiler is None and options.compiler != "none":
        display.lines(f"[yellow]{stage.HOW}[/]")
    return made


def _notice() -> Path:
    """The NOTICE of this repository, or of the package that was installed from it."""
    if (ROOT / "NOTICE").is_file():
        return ROOT / "NOTICE"
    for file in importlib.metadata.files("coral-dictation") or ():
        if file.name == "NOTICE":
            return Path(str(file.locate()))
    raise SourceError("NOTICE: not among the package's files; install it again")


def _convert(stages: Stages, chosen: Manifest, options: Options) -> Conversion:
    """The conversion; ConvertError where what only it needs is not installed."""
    try:
        from convert.conversion import Conversion
    except ModuleNotFoundError as error:
        raise ConvertError(
            f"{error.name} is not installed here, which converting a model needs: run `make bundle`, which installs "
            "it, or use --prebuilt, which takes the encoder that the repository ships"
        ) from None
    with stages.display.stage("model") as note:
        model = options.onnx or fetch.fetch(chosen)
        note(model.name)
    return Conversion.run(stages, chosen, model, options.calibration)


def _compile(stages: Stages, compiler: Compiler, encoder: Path) -> tuple[Path, EdgeTpu]:
    version = stage.version(compiler)
    compiled = stages.run(
        "compile",
        ["convert.edgetpu.stage"],
        {"encoder": encoder, "version": version},
        lambda out: stage.compile_encoder(compiler, encoder, out),
    )
    return compiled / "encoder_edgetpu.tflite", EdgeTpu(True, f"edgetpu_compiler {version}")


def _words(stages: Stages, chosen: Manifest, assets: Mapping[str, Path], names: list[str]) -> dict[str, Path]:
    """Lexicon, language model and grapheme-to-phoneme model: role -> file. The base model's words are the default."""
    base = manifest.ROOT / "base"
    table = chosen.file(chosen.lexicon) if chosen.lexicon else base / "lexicon.tsv.gz"
    model = chosen.file(chosen.language) if chosen.language else base / "language.bin"
    for path in (table, model):
        if not path.is_file():
            raise SourceError(f"{path}: no such file, but {chosen.path} names it")
    spell = chosen.tokens.unit != "phone"
    spelled = stages.run(
        "lexicon",
        ["convert.words.lexicon"],
        {"table": table, "tokens": names, "spell": spell},
        lambda out: lexicon.build(table, names, out / "lexicon.npz", spell=spell),
    )
    words = spelled / "lexicon.npz"
    heard = stages.run(
        "language",
        ["convert.words.language_model"],
        {"model": model, "lexicon": words},
        lambda out: language_model.build(model, out / "language.bin", Lexicon.load(words).words),
    )
    return {
        "lexicon": words,
        "language": heard / "language.bin",
        **{role: path for role, path in assets.items() if role in bundle.FILES},
    }
