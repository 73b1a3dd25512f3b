"""What several models cost that share one Edge TPU, compiled together: so many calls of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convert.edgetpu.predict.budget import CACHE_BYTES, USB2, USB3_TO_DEVICE, Budget, Estimate, fits


@dataclass(frozen=True)
class Together:
    """Sums over the calls of each model; `parameters` of all of them are to stay on the chip at the same time.

    `streamed` is what does not fit, sent again with each call, and is part of the bytes and of the times.
    """

    models: int
    calls: float
    parameters: Estimate
    fits_on_chip: str  # "yes", "probably", "uncertain" or "no"
    streamed: Estimate
    usb_bytes: Estimate
    latency_usb3: Estimate
    latency_usb2: Estimate


def together(budgets: Sequence[Budget], calls: Sequence[float] | None = None) -> Together:
    """The cost of models that each run whole on the Edge TPU: `calls` of each, or one.

    The chip's memory is for the first ones first, so what does not fit is of the last ones.
    """
    counts = [1.0] * len(budgets) if calls is None else calls
    parameters = _sum([budget.parameters for budget in budgets], "B")
    alone = _sum([budget.streamed for budget in budgets], "B")
    excess = Estimate(
        max(0.0, parameters.low - CACHE_BYTES[1] - alone.low),
        max(0.0, parameters.likely - CACHE_BYTES[0] - alone.likely),
        max(0.0, parameters.high - CACHE_BYTES[0] - alone.high),
        "B",
    )
    resent = _times(excess, counts[-1] if counts else 0.0)

    def total(name: str, unit: str) -> Estimate:
        each = zip(budgets, counts, strict=True)
        return _sum([_times(getattr(budget, name), count) for budget, count in each], unit)

    streamed = total("streamed", "B") + resent
    return Together(
        models=len(budgets),
        calls=sum(counts),
        parameters=parameters,
        fits_on_chip="no" if (alone + excess).low > 0 else fits(parameters, CACHE_BYTES),
        streamed=streamed,
        usb_bytes=total("usb_bytes", "B") + resent,
        latency_usb3=total("latency_usb3", "ms") + _sending(resent, USB3_TO_DEVICE),
        latency_usb2=total("latency_usb2", "ms") + _sending(resent, USB2),
    )


def _times(estimate: Estimate, count: float) -> Estimate:
    return Estimate(estimate.low * count, estimate.likely * count, estimate.high * count, estimate.unit)


def _sending(size: Estimate, rates: tuple[float, float]) -> Estimate:
    """Milliseconds for `size` at `rates`, least and most bytes a second."""
    return Estimate(size.low / rates[1] * 1e3, size.likely / rates[0] * 1e3, size.high / rates[0] * 1e3, "ms")


def _sum(estimates: Sequence[Estimate], unit: str) -> Estimate:
    return sum(estimates, start=Estimate(0, 0, 0, unit))
