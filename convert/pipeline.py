"""A build from sources to bundles, each stage kept by the hash of what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convert import draft, fetch, licences, metadata, prebuilt
from convert.cache import Cache
from convert.draft import Draft
from convert.edgetpu import fit, stage
from convert.edgetpu.compiled.compiler import Compiler
from convert.errors import IncompleteError, SourceError, not_installed
from convert.options import Options
from convert.progress import Display
from convert.quality import report
from convert.stages import Stages
from convert.transformer.pipeline import draft_transformer
from convert.words import language_model, lexicon
from models import bundle, manifest
from models.bundle import Bundle, EdgeTpu
from models.lexicon import Lexicon
from models.manifest import Manifest, Origin, Terms, TransformerManifest
from models.transformer_bundle import TransformerBundle

if TYPE_CHECKING:
    from convert.conversion import Conversion

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("base", "moonshine-tiny")
"""The models that the appliance uses: the first alone recognises speech, the others make its text better."""


def build(options: Options, display: Display) -> list[Bundle | TransformerBundle]:
    """Runs every stage for the models asked for and writes their bundles.

    They are compiled together, so that their parameters share the Edge TPU's memory. Raises a UserError or OSError, and
    the last bundles are as they were; IncompleteError where only the source of a model could not be had that the
    appliance can do without: then the bundles of the others are written.
    """
    stages = Stages(Cache(options.cache), display)
    compiler = stage.find(options.compiler, options.require_coral)
    drafts, missing = [], []
    for chosen in _chosen(options):
        try:
            drafts.append(_draft(options, chosen, stages))
        except SourceError as error:
            if not drafts:
                raise
            missing.append(f"{error}; {drafts[0].name} is complete and works without {chosen.name}")
    files, edge_tpu = (
        _compile(stages, compiler, drafts) if compiler else ({}, EdgeTpu(False, f"not compiled: {stage.HOW}"))
    )
    made = [each.write(each.compiled(files), edge_tpu) for each in drafts]
    if len(drafts) > 1:
        display.lines(fit.shared({name: p for each in drafts for name, p in each.predictions.items()}))
    if compiler is None and not (options.prebuilt and options.compiler == "none"):
        display.lines(f"[yellow]{stage.HOW}[/]")
    if missing:
        raise IncompleteError(missing[0])
    return made


def _chosen(options: Options) -> list[Origin]:
    if options.manifest:
        return [manifest.read_any(options.manifest)]
    return [manifest.load_any(name) for name in ([options.model] if options.model else PRODUCT)]


def _draft(options: Options, chosen: Origin, stages: Stages) -> Draft:
    stages.display.lines(f"[bold]{chosen.name}[/]")
    if isinstance(chosen, TransformerManifest):
        return draft_transformer(options, chosen, stages)
    assert isinstance(chosen, Manifest)
    return _ctc(options, chosen, stages)


def _compile(stages: Stages, compiler: Compiler, drafts: Sequence[Draft]) -> tuple[dict[str, Path], EdgeTpu]:
    """What the compiler makes of all models in one run, by file name, and what the bundles say of it."""
    version = stage.version(compiler)
    models = [path for each in drafts for path in each.models.values()]
    compiled = stages.run(
        "compile",
        ["convert.edgetpu.stage"],
        {"models": models, "names": [path.name for path in models], "version": version},
        lambda out: stage.compile_together(compiler, models, out),
    )
    names = " and ".join(each.name for each in drafts)
    together = f", {names} together" if len(drafts) > 1 else ""
    return {path.name: path for path in compiled.glob("*_edgetpu.tflite")}, EdgeTpu(
        True, f"edgetpu_compiler {version}{together}"
    )


def _ctc(options: Options, chosen: Manifest, stages: Stages) -> Draft:
    """A CTC model up to the compiler."""
    display = stages.display
    with display.stage("source") as note:
        roles = [role for role in chosen.source.assets if role != "acoustic"]
        assets = {role: fetch.fetch(chosen, role, say=note) for role in roles}
        note(chosen.source.package)
    names = metadata.tokens(chosen, assets)
    licensed, texts = licences.gather(chosen, _terms_of_words(chosen), assets)
    words = _words(stages, chosen, assets, names)  # before the slow stages, so that a mistake here costs no minutes
    conversion = None if options.prebuilt else _convert(stages, chosen, options)
    files = {**words, **texts, "notice": licences.notice()}
    files |= conversion.files if conversion else prebuilt.read(chosen)
    with display.stage("mapping") as note:
        mapping = fit.require(files["encoder"])
        note(f"{mapping.mapped} of {len(mapping.ops)} operators on the Edge TPU")
    tokens = stages.run(
        "tokens",
        [],
        {"tokens": names},
        lambda out: (out / "tokens.txt").write_text("".join(f"{t}\n" for t in names), encoding="utf-8"),
    )
    files["tokens"] = tokens / "tokens.txt"

    def write(compiled: Mapping[str, Path], edge_tpu: EdgeTpu) -> Bundle:
        parts = dict(files)
        if compiled:
            (parts["encoder_edgetpu"],) = compiled.values()
        description = metadata.description(chosen, parts["encoder"], parts["head"], names, edge_tpu, licensed)
        if conversion:
            parts |= conversion.verify(options.speech, description, parts, force=options.force)
        out = options.out or draft.BUILT / chosen.name
        with display.stage("bundle") as note:
            made = bundle.write(out, description, parts)
            note(str(out))
        if conversion and options.comparison is not None:
            conversion.compare(options.comparison, description, parts)
        if options.ship:
            display.lines(f"shipped: {prebuilt.write(chosen, parts)}")
        display.lines(report.summary(json.loads(parts["quality"].read_text())))
        return made

    return Draft(chosen.name, {"encoder": files["encoder"]}, {"encoder": mapping}, write)


def _terms_of_words(chosen: Manifest) -> dict[str, Terms]:
    """The licences of the base model's words, where `chosen` uses them."""
    base = manifest.load("base").licences
    used = {"lexicon": not chosen.lexicon, "language": not chosen.language}
    return {part: terms for part, terms in base.items() if used.get(part)}


def _convert(stages: Stages, chosen: Manifest, options: Options) -> Conversion:
    """The conversion; ConvertError where what only it needs is not installed."""
    try:
        from convert.conversion import Conversion
    except ModuleNotFoundError as error:
        raise not_installed(error) from None
    with stages.display.stage("model") as note:
        model = options.onnx or fetch.fetch(chosen, say=note)
        note(model.name)
    return Conversion.run(stages, chosen, model, options.calibration)


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
