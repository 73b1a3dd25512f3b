"""The Coral with the CPU behind it where one is plugged in; without one, the CPU, and that is no fault."""

from __future__ import annotations

from device.inference.accelerator import BackendContext, Choice, Models
from device.inference.backends.coral import with_cpu_behind


def open_backend(models: Models, context: BackendContext) -> Choice:
    """The Coral if there is one, else the CPU."""
    return with_cpu_behind(models, context, asked_for=False)
