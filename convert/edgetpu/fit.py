"""The gate before the compiler: an encoder that would not run whole on the Edge TPU fails the build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convert.edgetpu.predict.budget import CACHE_BYTES, MIB
from convert.edgetpu.predict.mapping import Prediction, predict
from convert.edgetpu.together import together
from convert.errors import QualityError

MAX_PARAMETERS = int(6.9 * MIB)  # bytes; on-chip memory left for parameters, see budget.py


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
            f"{size / MIB:.1f} MiB on the chip, more than {MAX_PARAMETERS / MIB:.1f}; make them smaller"
        )
    return predictions


def shared(predictions: Mapping[str, Prediction]) -> str:
    """In a line, whether models that each fit the chip alone fit it together."""
    plan = together([prediction.budget for prediction in predictions.values()])
    need, room = plan.parameters, " to ".join(f"{size / MIB:.1f}" for size in CACHE_BYTES)
    answer = {
        "yes": "they fit",
        "probably": "they probably fit",
        "uncertain": "it is uncertain whether they fit",
        "no": "they do not fit",
    }[plan.fits_on_chip]
    more = "" if plan.fits_on_chip == "yes" else "; what does not is sent again with each call"
    return (
        f"{plan.models} models on one Edge TPU: {need.likely / MIB:.1f} MiB of parameters predicted "
        f"({need.low / MIB:.1f} to {need.high / MIB:.1f}), room for {room}: {answer}{more}"
    )
