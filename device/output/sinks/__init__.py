"""The outputs, one module each; `device/output/sink.py` says what such a module has.

>>> names()
('keyboard', 'stdout')
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from device.output.sink import Context, Sink


def names() -> tuple[str, ...]:
    """Of all outputs, in the order of the alphabet."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def opener(name: str) -> Callable[[Any, Context], Sink | None]:
    """The `open_sink` of the output `name`; its module is imported here."""
    return cast(Callable[[Any, Context], Sink | None], import_module(f"{__name__}.{name}").open_sink)
