"""What several models cost that share one Edge TPU, compiled together: one call of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convert.edgetpu.predict.budget import CACHE_BYTES, USB2, USB3_TO_DEVICE, Budget, Estimate, fits


@dataclass(frozen=True)
class Together:
    """Sums over one call of each model; `parameters` of all of them are to stay on the chip at the same time.

    `streamed` is what does not fit, sent again with each call, and is part of the bytes and of the times.
    """

    calls: int
    parameters: Estimate
    fits_on_chip: str  # "yes", "probably", "uncertain" or "no"
    streamed: Estimate
    usb_bytes: Estimate
    latency_usb3: Estimate
    latency_usb2: Estimate


def together(budgets: Sequence[Budget]) -> Together:
    """The cost of models that each run whole on the Edge TPU."""
    parameters = _sum([budget.parameters for budget in budgets], "B")
    alone = _sum([budget.streamed for budget in budgets], "B")
    excess = Estimate(
        max(0.0, parameters.low - CACHE_BYTES[1] - alone.low),
        max(0.0, parameters.likely - CACHE_BYTES[0] - alone.likely),
        max(0.0, parameters.high - CACHE_BYTES[0] - alone.high),
        "B",
    )
    streamed = alone + excess
    return Together(
        calls=len(budgets),
        parameters=parameters,
        fits_on_chip="no" if streamed.low > 0 else fits(parameters, CACHE_BYTES),
        streamed=streamed,
        usb_bytes=_sum([budget.usb_bytes for budget in budgets], "B") + excess,
        latency_usb3=_sum([budget.latency_usb3 for budget in budgets], "ms") + _sending(excess, USB3_TO_DEVICE),
        latency_usb2=_sum([budget.latency_usb2 for budget in budgets], "ms") + _sending(excess, USB2),
    )


def _sending(size: Estimate, rates: tuple[float, float]) -> Estimate:
    """Milliseconds for `size` at `rates`, least and most bytes a second."""
    return Estimate(size.low / rates[1] * 1e3, size.likely / rates[0] * 1e3, size.high / rates[0] * 1e3, "ms")


def _sum(estimates: Sequence[Estimate], unit: str) -> Estimate:
    return sum(estimates, start=Estimate(0, 0, 0, unit))
