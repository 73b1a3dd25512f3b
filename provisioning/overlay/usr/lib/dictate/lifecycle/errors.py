"""The one kind of error that the tools of this package show as a line instead of a traceback."""


class LifecycleError(Exception):
    """The message names the cause and the next step, in one line."""
