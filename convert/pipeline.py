"""The stages in order, each from artifact to artifact, kept by the hash of what it was made from."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from convert import compile, describe, isolated, language, lexicon, source, speech, split, verify
from convert.cache import Cache
from convert.display import Display
from convert.errors import QualityError, SourceError
from models import bundle, manifest
from models.bundle import Bundle, Description, EdgeTpu
from models.lexicon import Lexicon
from models.manifest import Calibration, Manifest

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("onnx", "onnxsim", "onnx2tf", "tensorflow-cpu", "tensorflow", "numpy")


@dataclass(frozen=True)
class Options:
    """What a build is asked to do; see build.py."""

    cache: Path
    model: str = "base"
    onnx: Path | None = None
    manifest: Path | None = None
    out: Path | None = None
    compiler: str = "auto"
    require_coral: bool = False
    calibration: Path | None = None
    speech: Path | None = None
    comparison: Path | None = None


@dataclass(frozen=True)
class Stages:
    """Runs stages: shows them, keeps their results, and knows where a stage in its own process may chatter."""

    cache: Cache
    display: Display

    def run(
        self, name: str, modules: tuple[str, ...], inputs: Mapping[str, object], make: Callable[[Path], object]
    ) -> Path:
        """The directory that `make` filled, now or earlier, from these inputs and the code of these modules."""
        code = [ROOT / "convert" / f"{module}.py" for module in modules]
        keyed = {**inputs, "code": code, "libraries": _versions()}
        with self.display.stage(name) as note:
            note("unchanged" if self.cache.has(name, keyed) else "")
            return self.cache.get(name, keyed, make)

    def isolated(self, name: str, function: str, *arguments: str | Path) -> None:
        logs = self.cache.root / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        isolated.run(function, *arguments, log=logs / f"{name}.log")


def build(options: Options, display: Display) -> Bundle:
    """Runs every stage and writes the bundle; raises a UserError or OSError and leaves the last bundle as it was."""
    chosen = manifest.read(options.manifest) if options.manifest else manifest.load(options.model)
    stages = Stages(Cache(options.cache), display)
    compiler = compile.find(options.compiler, options.require_coral)
    with display.stage("source") as note:
        model = options.onnx or source.fetch(chosen)
        assets = {role: source.fetch(chosen, role) for role in chosen.source.assets if role != "acoustic"}
        note(model.name)
    names = describe.tokens(chosen, assets)
    parts = _split(stages, chosen, model)
    words = _words(stages, chosen, assets, names)  # before the slow stages, so that a mistake here costs no minutes
    calibration = _calibration(stages, chosen, options.calibration, parts)
    quantized = _quantize(stages, chosen, parts, calibration)
    with display.stage("mapping") as note:
        mapping = verify.mapping(quantized / "encoder.tflite")
        note(f"{mapping.mapped} of {len(mapping.ops)} operators on the Edge TPU")
    head = stages.run(
        "head",
        ("tensorflow", "tflite", "graph"),
        {"head": parts / "head.onnx"},
        lambda out: stages.isolated("head", "convert.tensorflow:head", parts / "head.onnx", out),
    )
    files = {
        "encoder": quantized / "encoder.tflite",
        "head": head / "head.tflite",
        "front_end": parts / "front_end.npz",
        "notice": ROOT / "NOTICE",
        **words,
    }
    edge_tpu = EdgeTpu(False, f"not compiled: {compile.HOW}")
    if compiler is not None:
        version, found = compile.version(compiler), compiler
        compiled = stages.run(
            "compile",
            ("compile",),
            {"encoder": files["encoder"], "version": version},
            lambda out: compile.compile_encoder(found, files["encoder"], out),
        )
        files["encoder_edgetpu"] = compiled / "encoder_edgetpu.tflite"
        edge_tpu = EdgeTpu(True, f"edgetpu_compiler {version}")
    description = describe.description(chosen, files["encoder"], files["head"], names, edge_tpu)
    tokens = stages.run(
        "tokens",
        (),
        {"tokens": names},
        lambda out: (out / "tokens.txt").write_text("".join(f"{t}\n" for t in names), encoding="utf-8"),
    )
    files["tokens"] = tokens / "tokens.txt"
    quality = _verify(stages, chosen, options.speech, model, parts, quantized, calibration, description, files)
    files |= {"quality": quality / "quality.json", "quality_plot": quality / "quality.png"}
    out = options.out or ROOT / "models" / "build" / chosen.name
    with display.stage("bundle") as note:
        made = bundle.write(out, description, files)
        note(str(out))
    if options.comparison is not None:
        _compare(stages, options.comparison, _source_parts(chosen, parts), calibration, description, files)
    display.lines(verify.summary(json.loads((quality / "quality.json").read_text())))
    if compiler is None:
        display.lines(f"[yellow]{compile.HOW}[/]")
    return made


def _split(stages: Stages, chosen: Manifest, model: Path) -> Path:
    own = chosen.trained
    trained = [chosen.file(name) for name in (own.encoder, own.head)] if own else []
    inputs = {
        "model": model,
        "trained": [p for p in trained if p.is_file()],
        "pinned": asdict(own) if own else None,
        "cut": chosen.cut,
        "front_end": chosen.front_end,
        "filters": chosen.filters,
        "window": chosen.window,
    }
    return stages.run("split", ("split", "graph", "filters"), inputs, lambda out: split.split(model, chosen, out))


def _calibration(stages: Stages, chosen: Manifest, folder: Path | None, parts: Path) -> Path:
    """Log-mel windows [N, frames, mels] as .npz: of the directory asked for, else those that the manifest names."""
    if folder is None:
        if chosen.calibration is None or not chosen.calibration.file:
            raise SourceError(f"{chosen.path}: names no calibration windows; give recordings with --calibration DIR")
        path = chosen.file(chosen.calibration.file)
        source.check(path, chosen.calibration.sha256, chosen)
        return path
    given = folder

    def make(out: Path) -> None:
        with np.load(parts / "front_end.npz") as arrays:
            dft, mel = arrays["dft"], arrays["mel"]
        np.savez(
            out / "calibration.npz",
            log_mel=speech.calibration(given, chosen.front_end, chosen.window.frames, (dft, mel)),
        )

    inputs = {
        "recordings": speech.recordings(given),
        "front_end": parts / "front_end.npz",
        "settings": [chosen.front_end, chosen.window.frames],
    }
    return stages.run("calibrate", ("speech",), inputs, make) / "calibration.npz"


def _quantize(stages: Stages, chosen: Manifest, parts: Path, calibration: Path) -> Path:
    quantile = str((chosen.calibration or Calibration()).quantile)
    return stages.run(
        "quantize",
        ("quantize", "ranges", "tensorflow", "tflite", "lift", "graph", "speech"),
        {"encoder": parts / "encoder.onnx", "calibration": calibration, "quantile": quantile},
        lambda out: stages.isolated(
            "quantize", "convert.quantize:quantize", parts / "encoder.onnx", calibration, quantile, out
        ),
    )


def _words(stages: Stages, chosen: Manifest, assets: Mapping[str, Path], names: list[str]) -> dict[str, Path]:
    """Lexicon, language model and grapheme-to-phoneme model: role -> file. The base model's words are the default."""
    base = manifest.ROOT / "base"
    table = chosen.file(chosen.lexicon) if chosen.lexicon else base / "lexicon.tsv.gz"
    model = chosen.file(chosen.language) if chosen.language else base / "language.bin"
    for path in (table, model):
        if not path.is_file():
            raise SourceError(f"{path}: no such file, but {chosen.path} names it")
    spell = chosen.tokens.unit != "phone"
    words = (
        stages.run(
            "lexicon",
            ("lexicon",),
            {"table": table, "tokens": names, "spell": spell},
            lambda out: lexicon.build(table, names, out / "lexicon.npz", spell=spell),
        )
        / "lexicon.npz"
    )
    heard = stages.run(
        "language",
        ("language",),
        {"model": model, "lexicon": words},
        lambda out: language.build(model, out / "language.bin", Lexicon.load(words).words),
    )
    return {
        "lexicon": words,
        "language": heard / "language.bin",
        **{role: path for role, path in assets.items() if role in bundle.FILES},
    }


def _verify(
    stages: Stages,
    chosen: Manifest,
    folder: Path | None,
    model: Path,
    parts: Path,
    quantized: Path,
    calibration: Path,
    description: Description,
    files: Mapping[str, Path],
) -> Path:
    """The directory of the quality report; QualityError names the first gate that is not passed."""
    reference = _reference(stages, _source_parts(chosen, parts))
    silent = tuple(i for i in (description.blank, description.boundary) if i is not None)

    def make(out: Path) -> None:
        unmeasured = out / "quality.json"
        unmeasured.write_text("{}\n")
        common = {**files, "quality": unmeasured}
        int8 = bundle.write(out / "int8", description, common)
        float32 = bundle.write(out / "float32", _float32(description, reference), {**common, **reference})
        recorded = out / "speech"
        recorded.mkdir()
        subject = verify.Subject(chosen, model, int8, float32, silent)
        heard = speech.gather(recorded) if folder is None else speech.given(folder)
        report = verify.measure(subject, heard, calibration, quantized)
        verify.save(report, out)
        for scratch in (out / "int8", out / "float32", recorded):
            shutil.rmtree(scratch)

    listed = folder or (speech.TESTDATA if speech.TESTDATA.is_dir() else None)
    device = sorted((ROOT / "device").glob("*.py"))
    quality = stages.run(
        "verify",
        ("verify", "agreement", "layers", "quality_plot", "speech", "tflite"),
        {
            "files": [files[role] for role in sorted(files)],
            "reference": [reference[role] for role in sorted(reference)],
            "description": description,
            "speech": listed,
            "model": model,
            "device": device,
        },
        make,
    )
    for sentence in verify.failures(json.loads((quality / "quality.json").read_text())):
        raise QualityError(f"{sentence}; see {quality / 'quality.png'}")
    return quality


def _source_parts(chosen: Manifest, parts: Path) -> dict[str, Path]:
    """The source's own encoder and head in ONNX, float32, whatever weights the bundle has."""
    prefix = "source_" if chosen.trained else ""
    return {role: parts / f"{prefix}{role}.onnx" for role in ("encoder", "head")}


def _reference(stages: Stages, floats: Mapping[str, Path]) -> dict[str, Path]:
    """The same in TensorFlow Lite."""
    parts = [floats["encoder"], floats["head"]]
    own = stages.run(
        "reference",
        ("tensorflow", "tflite", "lift", "graph"),
        {"parts": parts},
        lambda out: stages.isolated("reference", "convert.tensorflow:reference", *parts, out),
    )
    return {role: own / f"{role}.tflite" for role in ("encoder", "head")}


def _float32(description: Description, reference: Mapping[str, Path]) -> Description:
    (hears, hidden), (_, output) = describe.tensors(reference["encoder"]), describe.tensors(reference["head"])
    return replace(
        description,
        encoder_input=hears,
        encoder_output=hidden,
        head_output=output,
        edge_tpu=EdgeTpu(False, "not compiled: float32"),
    )


def _compare(
    stages: Stages,
    target: Path,
    floats: Mapping[str, Path],
    calibration: Path,
    description: Description,
    files: Mapping[str, Path],
) -> None:
    """Writes the bundle that `dictate bench` compares with: the source's weights in TensorFlow Lite and in ONNX."""
    reference = _reference(stages, floats)
    int8 = stages.run(
        "comparison",
        ("onnx_int8", "speech"),
        {"encoder": floats["encoder"], "windows": calibration},
        lambda out: stages.isolated("comparison", "convert.onnx_int8:quantize", floats["encoder"], calibration, out),
    )
    shared = {role: file for role, file in files.items() if role != "encoder_edgetpu"}
    bundle.write(
        target,
        _float32(description, reference),
        {
            **shared,
            **reference,
            "onnx_encoder": floats["encoder"],
            "onnx_encoder_int8": int8 / "encoder_int8.onnx",
            "onnx_head": floats["head"],
        },
    )
    stages.display.lines(f"to compare with: {target}")


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
