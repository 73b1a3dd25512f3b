"""The conversion proper: the source model split, calibrated, quantized and measured. Needs the `convert` extra."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from convert import fetch, metadata
from convert.errors import QualityError, SourceError
from convert.onnx import split
from convert.quality import gates
from convert.quality.recordings import TESTDATA, gather, given, recordings
from convert.quantization.calibration import calibration
from convert.stages import Stages
from models import bundle
from models.bundle import Description
from models.manifest import Calibration, Manifest


@dataclass(frozen=True)
class Conversion:
    """A source model and what the stages made of it."""

    stages: Stages
    chosen: Manifest
    model: Path  # the source, ONNX
    parts: Path  # split's directory
    calibration: Path  # log-mel windows [N, frames, mels], .npz
    quantized: Path  # quantize's directory

    @classmethod
    def run(cls, stages: Stages, chosen: Manifest, model: Path, recordings: Path | None) -> Conversion:
        """Splits and quantizes `model`, calibrated with `recordings` or with the windows that the manifest names."""
        parts = _split(stages, chosen, model)
        calibration = _calibration(stages, chosen, recordings, parts)
        return cls(stages, chosen, model, parts, calibration, _quantize(stages, chosen, parts, calibration))

    @property
    def files(self) -> dict[str, Path]:
        """Role -> file of what goes into the bundle."""
        return {
            "encoder": self.quantized / "encoder.tflite",
            "head": self.parts / "head.onnx",
            "front_end": self.parts / "front_end.npz",
        }

    @property
    def reference(self) -> dict[str, Path]:
        """Role -> file of the source's own float32 encoder and head, whatever weights the bundle has."""
        prefix = "source_" if self.chosen.trained else ""
        return {"onnx_encoder": self.parts / f"{prefix}encoder.onnx", "head": self.parts / f"{prefix}head.onnx"}

    def verify(
        self, folder: Path | None, description: Description, files: Mapping[str, Path], *, force: bool = False
    ) -> dict[str, Path]:
        """Role -> file of the quality report; QualityError names the first gate not passed, unless by `force`."""
        silent = tuple(i for i in (description.blank, description.boundary) if i is not None)
        reference = self.reference

        def make(out: Path) -> None:
            unmeasured = out / "quality.json"
            unmeasured.write_text("{}\n")
            common = {**files, "quality": unmeasured}
            int8 = bundle.write(out / "int8", description, common)
            float32 = bundle.write(out / "float32", *self._float32(description, common))
            recorded = out / "speech"
            recorded.mkdir()
            subject = gates.Subject(self.chosen, self.model, int8, float32, silent)
            heard = gather(recorded) if folder is None else given(folder)
            report = gates.measure(subject, heard, self.calibration, self.quantized)
            gates.save(report, out)
            for scratch in (out / "int8", out / "float32", recorded):
                shutil.rmtree(scratch)

        inputs = {
            "files": [files[role] for role in sorted(files)],
            "reference": [reference[role] for role in sorted(reference)],
            "description": description,
            "speech": folder or (TESTDATA if TESTDATA.is_dir() else None),
            "model": self.model,
        }
        # The words come from `dictate eval` in a child process.
        quality = self.stages.run("verify", ["convert.quality.gates", "device.cli", "device.cli.eval"], inputs, make)
        for sentence in gates.failures(json.loads((quality / "quality.json").read_text())):
            if not force:
                raise QualityError(f"{sentence}; see {quality / 'quality.png'}, or keep it all the same with --force")
            self.stages.display.lines(f"[yellow]kept by --force: {sentence}[/]")
        return {"quality": quality / "quality.json", "quality_plot": quality / "quality.png"}

    def compare(self, target: Path, description: Description, files: Mapping[str, Path]) -> None:
        """Writes the bundle that `dictate bench` compares with: the source's own weights, float32 and by ORT's int8."""
        encoder = self.reference["onnx_encoder"]
        int8 = self.stages.run(
            "comparison",
            ["convert.quantization.ort_int8"],
            {"encoder": encoder, "windows": self.calibration},
            lambda out: self.stages.run_in_subprocess(
                "comparison", "convert.quantization.ort_int8:quantize", encoder, self.calibration, out
            ),
        )
        described, parts = self._float32(description, files)
        bundle.write(target, described, {**parts, "onnx_encoder_int8": int8 / "encoder_int8.onnx"})
        self.stages.display.lines(f"to compare with: {target}")

    def _float32(self, description: Description, files: Mapping[str, Path]) -> tuple[Description, dict[str, Path]]:
        """Description and files of a bundle with the source's own float32 parts in place of the int8 encoder."""
        described = metadata.float32(description, self.reference["onnx_encoder"], self.reference["head"])
        kept = {role: file for role, file in files.items() if role not in ("encoder", "encoder_edgetpu")}
        return described, {**kept, **self.reference}


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
    return stages.run("split", ["convert.onnx.split"], inputs, lambda out: split.split(model, chosen, out))


def _calibration(stages: Stages, chosen: Manifest, folder: Path | None, parts: Path) -> Path:
    """Log-mel windows [N, frames, mels] as .npz: of the directory asked for, else those that the manifest names."""
    if folder is None:
        if chosen.calibration is None or not chosen.calibration.file:
            raise SourceError(f"{chosen.path}: names no calibration windows; give recordings with --calibration DIR")
        path = chosen.file(chosen.calibration.file)
        fetch.check(path, chosen.calibration.sha256, chosen)
        return path
    speech = folder

    def make(out: Path) -> None:
        with np.load(parts / "front_end.npz") as arrays:
            dft, mel = arrays["dft"], arrays["mel"]
        np.savez(
            out / "calibration.npz",
            log_mel=calibration(speech, chosen.front_end, chosen.window.frames, (dft, mel)),
        )

    inputs = {
        "recordings": recordings(speech),
        "front_end": parts / "front_end.npz",
        "settings": [chosen.front_end, chosen.window.frames],
    }
    return stages.run("calibrate", ["convert.quality.recordings"], inputs, make) / "calibration.npz"


def _quantize(stages: Stages, chosen: Manifest, parts: Path, calibration: Path) -> Path:
    quantile = str((chosen.calibration or Calibration()).quantile)
    return stages.run(
        "quantize",
        ["convert.quantization.quantize"],
        {"encoder": parts / "encoder.onnx", "calibration": calibration, "quantile": quantile},
        lambda out: stages.run_in_subprocess(
            "quantize", "convert.quantization.quantize:quantize", parts / "encoder.onnx", calibration, quantile, out
        ),
    )
