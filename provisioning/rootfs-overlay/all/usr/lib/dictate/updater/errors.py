"""The kind of error that the tools of this package show as a line instead of a traceback."""


class LifecycleError(Exception):
    """The message names the cause and the next step, in one line."""


class Refused(LifecycleError):
    """The update file itself is at fault: trying the same file again ends the same way."""
