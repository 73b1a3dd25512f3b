"""The backends of inference, one module each; `device/inference/accelerator.py` says what such a module has.

>>> names()
('auto', 'coral', 'cpu')
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import cast

from device.inference.accelerator import BackendContext, Choice, Models


def names() -> tuple[str, ...]:
    """Of all backends, in the order of the alphabet."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def choose(backend: str, models: Models, context: BackendContext) -> Choice:
    """The accelerator that the backend of this name opens for `models`; its module is imported here."""
    opener = import_module(f"{__name__}.{backend}").open_backend
    return cast(Callable[[Models, BackendContext], Choice], opener)(models, context)
