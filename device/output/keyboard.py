"""The USB keyboard: edits in, key reports out, never waiting for the computer.

Rules:

- Keys are sent at `rate` per second; where that is 0, at what :mod:`device.output.key_rate` finds out before the first
  edit after the computer was connected. Writes never block; a computer that is asleep, unplugged or slow to read
  makes the edit wait.
- While the computer takes nothing, an edit waits `host_timeout_s` from when it came, or from when the problem
  began if that was later. Then it, or what is left of it, is not typed: it is marked ``dropped`` and stays
  in the journal. An edit that finds `queue` others waiting is not typed at all.
- A deletion takes back only characters that this keyboard has put on the screen, however many key presses
  each took; characters that were dropped need none. When a deletion itself was dropped, what came before it
  is no longer touched.
- A key that went down is let go, as soon as the computer listens again; and all keys are, to begin with.
- A report changes one thing only, so a key with a modifier takes four reports; see :mod:`device.output.hid_report`.
- Caps Lock, where the computer says that it is on, is switched off before an edit is typed.

Nothing here is a thread: `step` does what is due, and `run` calls it until `close`.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from device.output import hid_report, key_rate, layouts
from device.output.hid_gadget import HidGadget, cause
from device.output.journal import DeliveryState, JournalEntry

log = logging.getLogger(__name__)

RETRY_S = 0.05
"""Pause between tries while the computer takes nothing."""

IDLE_RETRY_S = 0.25
"""The same while there is nothing to type."""

GRACE_S = 0.5
"""A shorter refusal is part of ordinary typing and not reported."""

SCREEN = 10_000
"""Characters that can be taken back."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """Some key presses, and what they do to the screen once all are sent."""

    reports: tuple[bytes, ...]
    begins: bool = False
    """They begin a character of the text; a substitute may have several units, or none."""
    types: bool = False
    """They put a character on the screen."""
    erases: bool = False
    """They take one back."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: JournalEntry
    since: float
    refused: bool
    """There was no room for it: it keeps its place only to be counted."""


class Keyboard:
    """A sink that types; see the rules above.

    `mark` tells the journal what became of an edit, `on_status` is given a message when the computer takes
    nothing and None when it does again; both are called from the thread that calls `step`.
    `clock` is monotonic seconds.
    """

    name = "keyboard"

    def __init__(
        self,
        port: HidGadget,
        keys: hid_report.Keys,
        *,
        rate: float,
        queue: int,
        host_timeout_s: float,
        clock: Callable[[], float],
        mark: Callable[[int, DeliveryState], None],
        on_status: Callable[[str | None], None],
    ) -> None:
        self._port, self._keys, self._clock = port, keys, clock
        self._mark, self._on_status = mark, on_status
        self._gap = 0.5 / (rate or key_rate.USUAL)
        self._finds_rate = rate == 0
        self._unknown = self._finds_rate  # how fast this computer is
        self._finder: key_rate.Finder | None = None
        self._limit, self._host_timeout = queue, host_timeout_s
        self._waiting: deque[_Waiting] = deque()
        self._head: _Waiting | None = None
        self._units: deque[_Unit] = deque()
        self._sent = 0
        self._release_due = True  # for all we know: a crash may have left one
        self._newest = hid_report.RELEASE  # the report that the computer took last
        self._screen: deque[int] = deque(maxlen=SCREEN)
        self._begun = 0
        self._blocked: float | None = None
        self._warned = False
        self._due = float("-inf")
        self._wake = threading.Event()
        self._closing = False

    def deliver(self, entry: JournalEntry) -> None:
        """Type an edit in its turn. Returns at once."""
        full = len(self._waiting) >= self._limit
        self._waiting.append(_Waiting(entry, self._clock(), full))
        self._wake.set()
        if full:
            raise OverflowError(f"{self._limit} edits wait to be typed; this one is in the journal only")

    @property
    def idle(self) -> bool:
        """Whether everything was typed or dropped."""
        return self._head is None and not self._waiting

    def step(self) -> float | None:
        """Send the next report if it is due. Returns the seconds until more is to be done, None for never."""
        now = self._clock()
        if now < self._due:
            return self._due - now
        if self._unknown and self._head is None and self._waiting and (self._finder or not self._release_due):
            return self._find_rate(now)
        if self._head is None and not self._release_due and not self._take():
            return None
        report = self._units[0].reports[self._sent] if self._units else hid_report.let_go(self._newest)
        try:
            self._port.write(report)
        except OSError as error:
            return self._refused(now, error)
        self._accepted()
        self._newest, self._release_due = report, report != hid_report.RELEASE
        self._due = now + self._gap
        if self._units:
            self._sent += 1
            if self._sent == len(self._units[0].reports):
                self._finish_unit()
            self._skip_silent()
        if not self._units and self._head is not None:
            self._done("typed")
        return self._gap

    def run(self) -> None:
        """Call `step` whenever it is due, until `close`. Made to be a thread's target."""
        while not self._closing:
            self._wake.clear()
            delay = self.step()
            if not self._closing:
                self._wake.wait(delay)

    def close(self) -> None:
        """Stop `run`; what waits is dropped from typing and stays in the journal."""
        self._closing = True
        self._wake.set()

    def finish(self) -> None:
        """After `run` has ended: mark what is left, let go of the key that is down, close the port."""
        if self._head is not None:
            self._give_up()
        while self._waiting:
            self._drop(self._waiting.popleft().entry)
        with suppress(OSError):
            while self._release_due:
                self._newest = hid_report.let_go(self._newest)
                self._port.write(self._newest)
                self._release_due = self._newest != hid_report.RELEASE
        self._port.close()

    def _find_rate(self, now: float) -> float:
        """Do the next thing that finding the rate takes."""
        try:
            if self._finder is None:
                self._finder = key_rate.find()
                wanted = next(self._finder)
            else:
                wanted = self._finder.send(self._port.led())
        except StopIteration as over:
            self._finder, self._unknown = None, False
            self._gap = 0.5 / over.value.rate
            about = "" if over.value.echoes else ": it does not say whether Caps Lock is on"
            log.info("typing %g keys a second into this computer%s", over.value.rate, about)
            return 0.0
        if wanted.report is not None:
            try:
                self._port.write(wanted.report)
            except OSError as error:
                self._finder = None
                return self._refused(now, error)
            self._accepted()
            self._newest, self._release_due = wanted.report, wanted.report != hid_report.RELEASE
        self._due = now + wanted.seconds
        return wanted.seconds

    def _take(self) -> bool:
        """Begin the next edit that has something to type. False if none waits."""
        while self._waiting:
            self._head = self._waiting[0]
            self._waiting.popleft()
            entry = self._head.entry
            if self._head.refused:
                self._head = None
                self._drop(entry)
                continue
            self._mark(entry.id, "typing")
            self._begun = 0
            if self._port.caps_lock():
                self._units.append(_Unit(hid_report.reports(layouts.CAPS_LOCK)))
            self._units.extend(self._plan(entry))
            self._skip_silent()
            if self._units:
                return True
            self._done("typed")
        return False

    def _plan(self, entry: JournalEntry) -> Iterator[_Unit]:
        presses = sum(self._screen.pop() for _ in range(min(entry.delete, len(self._screen))))
        for _ in range(presses):
            yield _Unit(hid_report.reports(layouts.BACKSPACE), erases=True)
        for piece, length in hid_report.clusters(entry.text):
            begins = True
            for typed in hid_report.spelled(piece, self._keys):
                reports = tuple(report for stroke in self._keys[typed] for report in hid_report.reports(stroke))
                yield _Unit(reports, begins, types=True)
                begins = False
            yield from [_Unit((), begins=True)] * (length - (not begins))  # marks that are part of the character

    def _finish_unit(self) -> None:
        unit = self._units.popleft()
        self._sent = 0
        if unit.begins:
            self._screen.append(0)
            self._begun += 1
        if unit.types:
            self._screen[-1] += 1

    def _skip_silent(self) -> None:
        while self._units and not self._units[0].reports:
            self._finish_unit()

    def _done(self, state: DeliveryState) -> None:
        assert self._head is not None
        self._mark(self._head.entry.id, state)
        self._head = None

    def _accepted(self) -> None:
        self._blocked = None
        if self._warned:
            self._warned = False
            self._on_status(None)

    def _refused(self, now: float, error: OSError) -> float:
        self._release_due = True  # sent until it is taken, it also shows when the computer is back
        if self._finds_rate and error.errno != errno.EAGAIN:
            self._unknown, self._finder = True, None  # the next one may be another
        self._step_back()
        if self._blocked is None:
            self._blocked = now
        if now - self._blocked >= GRACE_S and not self._warned:
            self._warned = True
            self._on_status(f"{self._port.path}: {cause(error)}")
        if self._head is not None and now - max(self._blocked, self._head.since) >= self._host_timeout:
            self._give_up()
        while self._waiting and now - max(self._blocked, self._waiting[0].since) >= self._host_timeout:
            self._drop(self._waiting.popleft().entry)
        retry = RETRY_S if self._head is not None else IDLE_RETRY_S
        self._due = now + (retry if self._warned else min(retry, self._gap))
        return self._due - now

    def _step_back(self) -> None:
        """A computer that was away has forgotten which modifier is down: say it again before the key."""
        if self._units and self._sent:
            before, refused = self._units[0].reports[self._sent - 1 : self._sent + 1]
            self._sent -= bool(before[0] and not before[2] and refused[2])

    def _give_up(self) -> None:
        assert self._head is not None
        entry = self._head.entry
        if any(unit.erases for unit in self._units):
            self._screen.clear()
        self._units.clear()
        self._sent = 0
        self._screen.extend([0] * (len(entry.text) - self._begun))
        self._done("dropped")

    def _drop(self, entry: JournalEntry) -> None:
        if entry.delete:
            self._screen.clear()
        self._screen.extend([0] * len(entry.text))
        self._mark(entry.id, "dropped")
