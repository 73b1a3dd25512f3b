"""The appliance as a service: one session for each configuration, until a signal or the button ends it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import SimpleQueue

from device.app.ports import Input, Outcome
from device.app.session import Environment, Session, SessionState
from device.app.signals import Reload, delivered
from device.config.loader import Loaded
from device.system.sd_notify import Notifier

log = logging.getLogger(__name__)

SWITCH_OFF = 79
"""Exit status that asks the service manager to switch the machine off (dictate.service)."""


def serve(loaded: Loaded, read_again: Callable[[], Loaded], environment: Environment) -> int:
    """Be the appliance until told to end; return the exit status. Call it in the main thread.

    On SIGHUP `read_again` must return a configuration that was checked; one that raises ConfigError, or whose
    parts cannot be opened, leaves the old one in force.
    """
    notifier = Notifier(environment.environ)
    inbox: SimpleQueue[Input | Reload] = SimpleQueue()
    with delivered(inbox):
        current, before = loaded.config, None
        state = SessionState()
        while True:
            try:
                outcome, wanted = Session(current, environment, notifier, inbox, read_again, state).run()
            except Exception as error:
                if before is None:
                    raise
                log.error("the new configuration does not work (%s); going on with the old one", error)
                current, before = before, None
                continue
            if outcome is not Outcome.RELOAD or wanted is None:
                notifier.stopping()
                return SWITCH_OFF if outcome is Outcome.SWITCH_OFF else 0
            current, before = wanted, current
