"""What can go wrong in a build; every message is one line that names the cause and the next step."""

from __future__ import annotations

from models.errors import UserError


class ConvertError(UserError):
    """The model cannot be converted."""


class SourceError(ConvertError):
    """The model's files could not be had, or are not what the manifest says."""


class IncompleteError(ConvertError):
    """Bundles were written, but one is missing that the appliance can do without."""


class GraphError(ConvertError):
    """The ONNX graph is not one that can become an encoder for the Edge TPU."""


class QualityError(ConvertError):
    """The converted model breaks a rule of the Edge TPU or loses too much."""


def not_installed(error: ModuleNotFoundError) -> ConvertError:
    """What to say where a package is missing that only a conversion needs."""
    return ConvertError(
        f"{error.name} is not installed here, which converting a model needs: run `make bundle`, which installs it, or "
        "use --prebuilt, which takes the int8 models that the repository ships"
    )
