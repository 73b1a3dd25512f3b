"""What can go wrong with the compiler; every message is one sentence that says what to change."""

from __future__ import annotations

from models.errors import UserError


class CompilerError(UserError):
    """The compiler could not be used."""


class CompilerNotFound(CompilerError):
    """There is no compiler, or it does not start on this machine."""


class CompilerTimeout(CompilerError):
    """The compiler did not finish in time."""


class ModelRefused(CompilerError):
    """The compiler does not accept the model."""


class InstallError(CompilerError):
    """The compiler could not be installed; nothing was left behind."""
