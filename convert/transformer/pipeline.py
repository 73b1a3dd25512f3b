"""A transformer from its source to its bundle, each stage kept by the hash of what it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convert import draft as drafts
from convert import fetch, licences, prebuilt
from convert.draft import Draft
from convert.edgetpu import fit
from convert.edgetpu.predict.mapping import Prediction
from convert.errors import ConvertError, QualityError, not_installed
from convert.options import Options
from convert.quality.recordings import TESTDATA, gather, given
from convert.stages import Stages
from convert.transformer import cpu_part, decoder_graph, report
from models import moonshine, transformer_bundle
from models.bundle import EdgeTpu
from models.manifest import TransformerManifest
from models.moonshine import Weights
from models.transformer_bundle import Description, TransformerBundle

ROOT = Path(__file__).resolve().parents[2]
CTC_ONLY = ("onnx", "calibration", "comparison")
DECODER = "decoder"
"""Folder beside the manifest with the decoder's graphs and which tokens it has, for machines without onnx."""
WORDS = ROOT / "models" / "base" / "lexicon.tsv.gz"
"""The words that decide which tokens a decoder has."""


@dataclass(frozen=True)
class ConvertedEncoder:
    """The encoder in int8 pieces, and what was measured of it."""

    models: Mapping[str, Path]  # piece -> int8 TFLite
    around: Path  # pieces.npz, what the CPU does around them
    weights: Path  # encoder.npz, the part on the CPU
    quality: Path


def draft_transformer(options: Options, chosen: TransformerManifest, stages: Stages) -> Draft:
    """Runs every stage up to the compiler; raises a UserError or OSError."""
    for name in CTC_ONLY:
        if getattr(options, name):
            raise ConvertError(
                f"--{name} is for CTC models, but {chosen.path} is of the kind {transformer_bundle.KIND}"
            )
    display = stages.display
    with display.stage("source") as note:
        assets = {role: fetch.fetch(chosen, role, say=note) for role in chosen.source.assets}
        note(chosen.source.package)
    licensed, texts = licences.gather(chosen, {}, assets)
    decoder = _decoder(stages, chosen, assets, chosen.file(DECODER) if options.prebuilt else WORDS)
    parts = _shipped(stages, chosen, assets) if options.prebuilt else _convert(options, stages, chosen, assets, decoder)
    with display.stage("mapping") as note:
        predictions = fit.require_together(parts.models)
        note(_mapped(predictions))
    files = {path.name: path for path in parts.models.values()}
    files |= {"encoder.npz": parts.weights, "pieces.npz": parts.around, "quality.json": parts.quality}
    files |= {name: decoder / name for name in decoder_graph.FILES}
    files |= {"NOTICE": licences.notice(), **texts}

    def write(compiled: Mapping[str, Path], edge_tpu: EdgeTpu) -> TransformerBundle:
        described = Description(
            name=chosen.name,
            source=chosen.source.package,
            licences=licensed,
            frames=chosen.pieces.frames,
            layers=Weights.load(parts.weights).layers,
            edge_tpu=edge_tpu,
        )
        out = options.out or drafts.BUILT / chosen.name
        with display.stage("bundle") as note:
            made = transformer_bundle.write(out, described, {**files, **compiled})
            note(str(out))
        if options.ship:
            shipped = [*parts.models.values(), parts.around, parts.quality]
            display.lines(f"shipped: {prebuilt.write_pieces(chosen, {path.name: path for path in shipped})}")
            for name in decoder_graph.SHIPPED:
                shutil.copyfile(decoder / name, chosen.file(DECODER) / name)
        display.lines(report.summary(json.loads(parts.quality.read_text())))
        return made

    return Draft(chosen.name, parts.models, predictions, write)


def _shipped(stages: Stages, chosen: TransformerManifest, assets: Mapping[str, Path]) -> ConvertedEncoder:
    """What the repository ships; the part on the CPU is read from the source."""
    files = prebuilt.read_pieces(chosen)
    read = stages.run(
        "weights",
        ["convert.transformer.cpu_part"],
        {"encoder": assets["encoder"], "heads": chosen.encoder.heads},
        lambda out: cpu_part.save(assets["encoder"], chosen.encoder.heads, out),
    )
    weights = read / "encoder.npz"
    models = {name: files[f"{name}.tflite"] for name in moonshine.pieces(Weights.load(weights).layers)}
    return ConvertedEncoder(models, files["pieces.npz"], weights, files["quality.json"])


def _convert(
    options: Options, stages: Stages, chosen: TransformerManifest, assets: Mapping[str, Path], decoder: Path
) -> ConvertedEncoder:
    folded = _fold(stages, chosen, assets)
    quantized = stages.run(
        "pieces",
        ["convert.transformer.quantize"],
        {"folded": folded},
        lambda out: stages.run_in_subprocess("pieces", "convert.transformer.quantize:quantize_all", folded, out),
    )
    weights = folded / "encoder.npz"
    models = {name: quantized / f"{name}.tflite" for name in moonshine.pieces(Weights.load(weights).layers)}
    quality = _measure(stages, chosen, options.speech, assets, folded, quantized, decoder)
    for sentence in report.failures(json.loads(quality.read_text())):
        if not options.force:
            raise QualityError(f"{sentence}; see {quality}, or keep it all the same with --force")
        stages.display.lines(f"[yellow]kept by --force: {sentence}[/]")
    return ConvertedEncoder(models, quantized / "pieces.npz", weights, quality)


def _fold(stages: Stages, chosen: TransformerManifest, assets: Mapping[str, Path]) -> Path:
    try:
        from convert.transformer import fold
    except ModuleNotFoundError as error:
        raise not_installed(error) from None

    def make(out: Path) -> None:
        fold.fold(assets["encoder"], recordings, chosen, out)

    recordings = [assets[role] for role in chosen.calibration.assets]
    inputs = {
        "encoder": assets["encoder"],
        "recordings": recordings,
        "settings": [chosen.encoder, chosen.pieces, chosen.calibration.seconds],
    }
    return stages.run("fold", ["convert.transformer.fold"], inputs, make)


def _decoder(stages: Stages, chosen: TransformerManifest, assets: Mapping[str, Path], given: Path) -> Path:
    """The decoder's graphs, weights and tokenizer; the graphs are made, or those in the folder `given`."""

    def make(out: Path) -> None:
        try:
            decoder_graph.export(assets["decoder"], assets["tokenizer"], chosen.encoder.heads, out, given)
        except ModuleNotFoundError as error:
            raise not_installed(error) from None

    sources = {role: assets[role] for role in ("decoder", "tokenizer")}
    inputs = {**sources, "heads": chosen.encoder.heads, "given": given}
    return stages.run("decoder", ["convert.transformer.decoder_graph"], inputs, make)


def _mapped(predictions: Mapping[str, Prediction]) -> str:
    operators = sum(prediction.mapped for prediction in predictions.values())
    return f"{operators} operators in {len(predictions)} pieces on the Edge TPU"


def _measure(
    stages: Stages,
    chosen: TransformerManifest,
    folder: Path | None,
    assets: Mapping[str, Path],
    folded: Path,
    quantized: Path,
    exported: Path,
) -> Path:
    """The quality report."""

    def make(out: Path) -> None:
        from convert.transformer import measure, ort_format, weights
        from convert.transformer.decode import Decoder
        from models import pieces

        recorded = out / "speech"
        recorded.mkdir()
        heard = gather(recorded) if folder is None else given(folder)
        encoder = weights.read(ort_format.dequantized(ort_format.load(assets["encoder"])), chosen.encoder.heads)
        models = {name: quantized / f"{name}.tflite" for name in encoder.pieces}
        int8 = measure.Int8Pieces(models, pieces.load(quantized / "pieces.npz"), chosen.pieces.frames)
        decoder = Decoder(exported)
        otherwise = [assets[role] for role in chosen.calibration.assets]
        measured = measure.measure(encoder, int8, decoder, heard, otherwise)
        (out / "quality.json").write_text(json.dumps(measured, indent=1) + "\n")
        shutil.rmtree(recorded)

    inputs = {
        "pieces": quantized,
        "folded": folded,
        "decoder": exported,
        "assets": [assets[role] for role in sorted(assets)],
        "speech": folder or (TESTDATA if TESTDATA.is_dir() else None),
    }
    return stages.run("measure", ["convert.transformer.measure"], inputs, make) / "quality.json"
