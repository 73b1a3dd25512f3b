"""The gate before the compiler: an encoder that would not run whole on the Edge TPU fails the build."""

from __future__ import annotations

from pathlib import Path

from convert.edgetpu.mapping import Prediction, predict
from convert.errors import QualityError

MAX_PARAMETERS = int(6.9 * (1 << 20))  # bytes; on-chip memory left for parameters, see budget.py


def require(encoder: Path) -> Prediction:
    """The prediction for `encoder`; QualityError names operator, tensor and rule of what breaks one."""
    prediction = predict(encoder.read_bytes())
    if prediction.refusals:
        raise QualityError(f"the Edge TPU compiler would refuse the encoder: {prediction.refusals[0]}")
    broken = prediction.unmapped
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise QualityError(f"the encoder does not fit the Edge TPU: {broken[0]}{more}; {broken[0].advice}")
    if not prediction.ops:
        raise QualityError("the encoder has no operator")
    size = prediction.budget.parameters.likely
    if size > MAX_PARAMETERS:
        raise QualityError(
            f"the encoder's parameters take {size / (1 << 20):.1f} MiB on the chip, more than "
            f"{MAX_PARAMETERS / (1 << 20):.1f}; make it smaller"
        )
    return prediction
