"""The USB keyboard, which types from a thread of its own."""

from __future__ import annotations

import threading

from device.config.schema import KeyboardSettings
from device.output import layouts
from device.output.hid_gadget import HidGadget
from device.output.keyboard import Keyboard
from device.output.sink import Context, Sink

POLL_S = 0.01
"""How often a closing keyboard is looked at."""


class Typing:
    """A :class:`device.output.keyboard.Keyboard` with a thread of its own."""

    name = Keyboard.name
    marks = True

    def __init__(self, keyboard: Keyboard, drain_s: float = 5.0) -> None:
        self._keyboard, self._drain_s = keyboard, drain_s
        self.deliver = keyboard.deliver
        self._thread = threading.Thread(target=keyboard.run, name="keyboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Type what waits, for `drain_s` at most; the rest stays in the journal."""
        for _ in range(round(self._drain_s / POLL_S)):
            if self._keyboard.idle:
                break
            self._thread.join(POLL_S)
        self._keyboard.close()
        self._thread.join()
        self._keyboard.finish()


def open_sink(settings: KeyboardSettings, context: Context) -> Sink:
    """Begins to type at once; a missing gadget is told by `context.on_status`."""
    keyboard = Keyboard(
        HidGadget(settings.path),
        layouts.strokes(layouts.LAYOUTS[settings.layout]),
        rate=settings.rate,
        queue=settings.queue,
        host_timeout_s=settings.host_timeout_s,
        clock=context.clock,
        mark=context.mark,
        on_status=lambda message: context.on_status(Keyboard.name, message),
    )
    return Typing(keyboard)
