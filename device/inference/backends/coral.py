"""The Coral with the CPU behind it, where a Coral is asked for: doing without one is less than that."""

from __future__ import annotations

from collections.abc import Callable

from device.inference.accelerator import BackendContext, Choice, Models, Starting
from device.inference.backends.cpu import CpuAccelerator
from device.inference.edgetpu.client import CoralError, CoralStart
from device.inference.edgetpu.usb import PERMISSION_ADVICE, UsbCoral, permitted
from device.inference.fallback import FallbackAccelerator, NoCoral


def open_backend(models: Models, context: BackendContext) -> Choice:
    """The Coral; while it is missing or fails, the CPU works and the Coral is tried again."""
    return with_cpu_behind(models, context, asked_for=True)


def with_cpu_behind(models: Models, context: BackendContext, asked_for: bool) -> Choice:
    """The Coral with the CPU behind it; the CPU alone is less than wanted where one is `asked_for`, or plugged in."""
    cpu = CpuAccelerator(*models.cpu, threads=context.threads)
    if models.coral is None:
        reason = "the bundle holds no encoder compiled for the Edge TPU; build it with a compiler"
        return Choice(cpu, reason, asked_for or context.find() is not None)
    compiled = tuple(models.coral)

    def start() -> Starting:
        usable(context.find())
        return CoralStart(compiled, context.library)

    accelerator = FallbackAccelerator(cpu, start, context.on_change, context.clock)
    accelerator.wait(context.wait_s)
    if accelerator.name != cpu.name:
        return Choice(accelerator, "the Coral", False)
    problem = accelerator.problem or "the Coral is still starting"
    return Choice(accelerator, problem, asked_for or accelerator.missed)


def usable(coral: UsbCoral | None, permitted: Callable[[UsbCoral], bool] = permitted) -> UsbCoral:
    """The Coral, if it is there and may be opened; otherwise CoralError with what to do."""
    if coral is None:
        raise NoCoral("no Coral found on USB: plug it in, to a blue port, with a cable that carries data")
    if not permitted(coral):
        raise CoralError(f"no permission to use the Coral at {coral.node}: {PERMISSION_ADVICE}")
    return coral
