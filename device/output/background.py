"""The output's own thread: the main loop hands it a segment and goes on listening while the SD card syncs.

Each segment goes through :class:`device.output.dispatcher.Fanout` in its turn: it is appended to the journal and
synced, and only then given to the sinks. So the rule of device/output/journal.py holds (what was typed is on disk) and
so does the order. What is lost if the process dies is what waits here, and that was not typed either.

>>> import io
>>> from device.output.dispatcher import Fanout
>>> from device.output.sinks.stdout import StreamSink
>>> from device.output.journal import Journal
>>> from device.text.edits import Insert
>>> out = io.StringIO()
>>> journal = Journal(None, clock=lambda: 0.0, boot="")
>>> output = BackgroundOutput(Fanout(journal, [StreamSink(out)], print), lambda: 0.0)
>>> output.deliver((Insert("Hello"),))
>>> output.close()
>>> out.getvalue()
'Hello'
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from device.output.dispatcher import Fanout
from device.text.edits import Edit


class BackgroundOutput:
    """Runs a :class:`Fanout` in a thread, in the order of the calls; `clock` is monotonic seconds.

    Sinks and `on_status` of the fanout are called from that thread.
    """

    def __init__(self, fanout: Fanout, clock: Callable[[], float]) -> None:
        self._fanout, self._clock = fanout, clock
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._since: float | None = None
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    @property
    def stalled_s(self) -> float:
        """For how long the segment in hand has been at the disk or the sinks; 0 where nothing is being done."""
        since = self._since
        return 0.0 if since is None else self._clock() - since

    def deliver(self, edits: Sequence[Edit]) -> None:
        """Have a segment's edits carried out. Returns at once; raises what the thread has died of, if it has."""
        if self._fault is not None:
            raise self._fault
        self._queue.put(lambda: self._fanout.deliver(edits))

    def resume(self, host_timeout_s: float) -> None:
        """Have what a restart interrupted carried out: :meth:`Fanout.resume`."""
        self._queue.put(lambda: self._fanout.resume(host_timeout_s))

    def close(self) -> None:
        """Carry out what waits, then close the fanout."""
        self._queue.put(None)
        self._thread.join()
        self._fanout.close()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            self._since = self._clock()
            try:
                job()
            except Exception as error:  # sinks and disk have their own handling: this is a fault of ours
                self._fault = error
                return
            self._since = None
