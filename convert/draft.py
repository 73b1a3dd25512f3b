"""A model on its way to a bundle: everything but what the Edge TPU's compiler makes, which sees all models at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.edgetpu.predict.mapping import Prediction
from models.bundle import Bundle, EdgeTpu
from models.transformer_bundle import TransformerBundle

BUILT = Path(__file__).resolve().parents[1] / "models" / "build"
"""Where bundles go that no other place is named for, each in a folder of its model's name."""

Write = Callable[[Mapping[str, Path], EdgeTpu], Bundle | TransformerBundle]
"""(compiled files by name, what to say of them) -> the bundle, written."""


@dataclass(frozen=True)
class Draft:
    """What one model needs of the compiler, and what writes its bundle."""

    name: str
    models: Mapping[str, Path]  # stem of the file's name -> int8 model, in the order in which they want on-chip memory
    predictions: Mapping[str, Prediction]  # of the same
    write: Write

    def compiled(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of the compiled files that are this model's; none where there was no compiler."""
        names = [f"{stem}_edgetpu.tflite" for stem in self.models]
        return {name: files[name] for name in names if name in files}
