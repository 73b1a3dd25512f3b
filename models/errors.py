"""The one kind of error that a command shows as a line instead of a traceback."""


class UserError(Exception):
    """Something that the user can act upon: the message names the cause and the next step, in one line."""


class UsageError(UserError):
    """A command was used wrongly: an argument or the configuration. The message says how it should be."""
