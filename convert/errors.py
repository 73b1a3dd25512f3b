"""What can go wrong in a build; every message is one line that names the cause and the next step."""

from __future__ import annotations

from models.errors import UserError


class ConvertError(UserError):
    """The model cannot be converted."""


class SourceError(ConvertError):
    """The model's files could not be had, or are not what the manifest says."""


class GraphError(ConvertError):
    """The ONNX graph is not one that can become an encoder for the Edge TPU."""


class QualityError(ConvertError):
    """The converted model breaks a rule of the Edge TPU or loses too much."""
