"""The gate before the compiler: an encoder that would not run whole on the Edge TPU fails the build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convert.edgetpu.predict.mapping import Prediction, predict
from convert.edgetpu.together import together
from convert.errors import QualityError

MAX_PARAMETERS = int(6.9 * (1 << 20))  # bytes; on-chip memory left for parameters, see budget.py


def require(encoder: Path) -> Prediction:
    """The prediction for `encoder`; QualityError names operator, tensor and rule of what breaks one."""
    return require_together({"the encoder": encoder})["the encoder"]


def require_together(models: Mapping[str, Path]) -> dict[str, Prediction]:
    """Name -> prediction for models that share one chip; QualityError names what breaks a rule, and where."""
    predictions = {name: predict(path.read_bytes()) for name, path in models.items()}
    for name, prediction in predictions.items():
        if prediction.refusals:
            raise QualityError(f"the Edge TPU compiler would refuse {name}: {prediction.refusals[0]}")
        broken = prediction.unmapped
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise QualityError(f"{name} does not fit the Edge TPU: {broken[0]}{more}; {broken[0].advice}")
        if not prediction.ops:
            raise QualityError(f"{name} has no operator")
    size = together([prediction.budget for prediction in predictions.values()]).parameters.likely
    if size > MAX_PARAMETERS:
        raise QualityError(
            f"the parameters of {' and '.join(models) if len(models) < 3 else f'{len(models)} models'} take "
            f"{size / (1 << 20):.1f} MiB on the chip, more than {MAX_PARAMETERS / (1 << 20):.1f}; make them smaller"
        )
    return predictions
