"""Cores, priorities and clock: what the kernel is asked for so that no sound is lost and words come soon.

Nothing here is needed to work: what the kernel refuses is told in one line, and the appliance goes on without.

>>> import tempfile
>>> policy = Path(tempfile.mkdtemp()) / "policy0"
>>> policy.mkdir(); _ = (policy / "scaling_governor").write_text("ondemand\\n")
>>> governor = Governor("performance", policy.parent, policy.parent / "state.json")
>>> with governor.raised():
...     (policy / "scaling_governor").read_text()
'performance'
>>> (policy / "scaling_governor").read_text()
'ondemand'
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from threading import Thread

from device.config import schema
from models import files
from models.errors import UserError


def pin(cpus: Collection[int]) -> str:
    """Keep the calling thread, and threads that it starts from now on, on `cpus`; return a problem or nothing.

    >>> pin(os.sched_getaffinity(0))
    ''
    >>> pin([4_000])
    'CPU 4000: this machine has not got it; set realtime.encoder_cpus and realtime.decoder_cpus'
    """
    if not cpus:
        return ""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        named = ", ".join(map(str, cpus))
        if error.errno == 22:  # EINVAL: no such CPU, or the cgroup lacks it (sched_setaffinity(2))
            return f"CPU {named}: this machine has not got it; " + _PIN_KEYS
        return f"CPU {named}: {error.strerror}; " + _PIN_KEYS
    return ""


_PIN_KEYS = "set realtime.encoder_cpus and realtime.decoder_cpus"


@contextlib.contextmanager
def pinned(cpus: Collection[int]) -> Iterator[str]:
    """Keep the calling thread on `cpus` for a while; threads started meanwhile stay there. Yields a problem."""
    before = os.sched_getaffinity(0)
    try:
        yield pin(cpus)
    finally:
        os.sched_setaffinity(0, before)


def fifo(priority: int) -> str:
    """Run the calling thread before all ordinary ones (SCHED_FIFO); return a problem or nothing.

    Priority 0 changes nothing. Threads that it starts are ordinary again.
    """
    if priority == 0:
        return ""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        return (
            f"real-time priority {priority}: not permitted; give the service LimitRTPRIO={priority} or more, "
            "or set realtime.capture_priority = 0"
        )
    except OSError as error:
        return f"real-time priority {priority}: {error.strerror}; set realtime.capture_priority = 0"
    return ""


class GovernorError(UserError):
    """The governor cannot be changed; the message names the file, the cause and what to do."""


class Governor:
    """Raises the clock's governor while it matters and puts back what was there, after a crash too.

    What was there is written to `state_file` before anything is changed, so that whoever comes next can put it
    back: this object when it is made, or the service's ExecStopPost (`dictate realtime restore`). A `wanted` of
    "" changes nothing. The files are those of Documentation/admin-guide/pm/cpufreq.rst.
    """

    def __init__(self, wanted: str, cpufreq: Path, state_file: Path) -> None:
        self._wanted, self._cpufreq, self._state_file = wanted, cpufreq, state_file

    def raise_(self) -> None:
        """Set the wanted governor on every core. Raises GovernorError; cores changed by then are restored."""
        if not self._wanted:
            return
        self.restore()
        policies = sorted(self._cpufreq.glob("policy*/scaling_governor"))
        if not policies:
            raise GovernorError(f'{self._cpufreq}: no clock governor on this machine; set realtime.governor = ""')
        before = {str(file): _read(file) for file in policies}
        self._remember(before)
        try:
            for file in policies:
                _write(file, self._wanted)
        except GovernorError:
            with contextlib.suppress(GovernorError):
                self.restore()
            raise

    def restore(self) -> None:
        """Put back what was there; nothing if nothing was changed. Raises GovernorError."""
        try:
            before = json.loads(self._state_file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                self._state_file.unlink()
            raise GovernorError(f"{self._state_file}: cannot be read ({error}); governors stay as they are") from None
        for file, governor in before.items():
            if Path(file).exists() and _read(Path(file)) != governor:
                _write(Path(file), governor)
        self._state_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Raise within a `with` block. Raises GovernorError."""
        self.raise_()
        try:
            yield
        finally:
            self.restore()

    def _remember(self, before: dict[str, str]) -> None:
        try:
            self._state_file.parent.mkdir(parents=True, exist_ok=True)
            files.write(self._state_file, json.dumps(before))
        except OSError as error:
            raise GovernorError(
                f"{self._state_file}: {error.strerror}; the governor stays as it is, since it could not be restored"
            ) from None


def governor_from(settings: schema.RealtimeSettings) -> Governor:
    """The governor that `settings` names; one that changes nothing where real time is not enabled."""
    wanted = settings.governor if settings.enabled else ""
    return Governor(wanted, settings.cpufreq, settings.governor_state)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise GovernorError(f"{file}: {error.strerror}") from None


def _write(file: Path, governor: str) -> None:
    try:
        file.write_text(governor)
    except OSError as error:
        if error.errno == 22:  # EINVAL: the kernel has no such governor
            there = _read(file.with_name("scaling_available_governors"))
            raise GovernorError(f"{file}: no governor {governor}; set realtime.governor to one of: {there}") from None
        raise GovernorError(
            f"{file}: {error.strerror}; let the service's group write it (the unit's ExecStartPre does), "
            'or set realtime.governor = ""'
        ) from None


def problems(settings: schema.RealtimeSettings) -> list[str]:
    """What of `settings` this machine does not permit, a line each; tried out in a thread of its own."""
    if not settings.enabled:
        return []
    found: list[str] = []

    def probe() -> None:
        with pinned({*settings.encoder_cpus, *settings.decoder_cpus}) as problem:
            found.append(problem)
        found.append(fifo(settings.capture_priority))

    thread = Thread(target=probe)
    thread.start()
    thread.join()
    try:
        with governor_from(settings).raised():
            pass
    except GovernorError as error:
        found.append(str(error))
    return [problem for problem in found if problem]
