"""Runs compiled models on the Coral in a child process, and tells how it failed when it does.

A call into libedgetpu can crash (wrong library pairing) or never return (a hung device), and neither can be
undone inside a process: so the Coral always lives in a child. A window and its result pass through shared
memory, and one line each way over a socket wakes the other side; what that costs is printed by
`python tests/benchmarks/accelerator.py`. The child loads the models, all of them on one delegate, and runs one window
of each before it counts as ready.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from device.inference.edgetpu import compatibility
from device.inference.shapes import Shapes, checked
from models import python
from models.errors import UserError

DEADLINE_S = 1.0
START_S = 30.0


class CoralError(UserError):
    """The Coral cannot be used; the message says why and what to do, in one line."""


class CoralCrashed(CoralError):
    """The process that used the Coral was killed by a signal: most often libraries that do not match."""


class CoralHung(CoralError):
    """A call did not return in time."""


class CoralFailed(CoralError):
    """libedgetpu or the interpreter reported an error."""


class CoralStart:
    """A Coral that is being started: `poll` until it is ready.

    Starting takes seconds (firmware upload, weights), so it goes on beside the program. Unless it becomes ready,
    `close` it.
    """

    def __init__(
        self,
        models: Sequence[Path],
        library: str = compatibility.LIBRARY,
        package: str | None = None,
        start_s: float = START_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        chosen = package or compatibility.preferred(compatibility.installed_library(), compatibility.interpreters())
        if chosen is None:
            raise CoralFailed("no TensorFlow Lite interpreter is installed: `pip install coral-dictation[device]`")
        self._deadline_s = deadline_s
        try:
            self._worker = _Worker(models, library, chosen)
        except OSError as error:
            raise CoralFailed(f"no process can be started for the Coral ({error}); memory or files ran out") from error
        self._late = time.monotonic() + start_s

    @property
    def pid(self) -> int:
        """The child process."""
        return self._worker.pid

    def poll(self, wait_s: float = 0.0) -> CoralAccelerator | None:
        """The accelerator once it is ready; None while it is not. Raises CoralError if it never will be."""
        try:
            message = self._worker.receive(min(wait_s, max(0.0, self._late - time.monotonic())))
            if message is not None:
                return CoralAccelerator(self._worker, message["ready"], self._deadline_s)
            if time.monotonic() >= self._late:
                raise CoralHung("the Coral did not start in time: unplug it, wait five seconds, plug it in")
        except CoralError:
            self.close()
            raise
        return None

    def close(self) -> None:
        self._worker.close()


class CoralAccelerator:
    """Compiled models on the Coral; made ready by `CoralStart`.

    >>> with open_coral([Path("encoder_edgetpu.tflite")]) as coral:    # doctest: +SKIP
    ...     hidden = coral.invoke(np.zeros(coral.shapes[0].input, np.int8))
    """

    name = "coral"

    def __init__(self, worker: _Worker, ready: dict[str, Any], deadline_s: float) -> None:
        self._worker = worker
        self._deadline_s = deadline_s
        self.shapes = [Shapes(tuple(given), tuple(made)) for given, made in ready["models"]]
        self.route: str = ready["route"]
        self.runtime: str = ready["runtime"]
        self._buffers = worker.buffers(self.shapes)

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        """Run one window; int8 in and out, full shapes. Raises CoralError, after which it is closed."""
        given, made = self._buffers[model]
        checked(window, self.shapes[model])
        try:
            given[...] = window
            self._worker.send(model)
            if self._worker.receive(self._deadline_s) is None:
                raise CoralHung(f"the Coral did not answer within {self._deadline_s:g} s: it hangs")
        except CoralError:
            self.close()
            raise
        return made.copy()

    def close(self) -> None:
        """End the child process; nothing is shared any more."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_coral(models: Sequence[Path], library: str = compatibility.LIBRARY, **options: Any) -> CoralAccelerator:
    """Start a Coral and wait until it is ready; `options` are those of CoralStart. Raises CoralError."""
    start = CoralStart(models, library, **options)
    while (ready := start.poll(1.0)) is None:
        pass
    return ready


class _Worker:
    """The child process: a socket for lines, a memory file for tensors, a pipe whose end means leave."""

    def __init__(self, models: Sequence[Path], library: str, package: str) -> None:
        self._about = f"{library} with {package}"
        self._pending = b""
        self._answered = False
        self._closed = False
        with contextlib.ExitStack() as undo:
            self._memory = os.memfd_create("coral", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            undo.callback(os.close, self._memory)
            self._socket, theirs = socket.socketpair()
            undo.callback(self._socket.close)
            watched, self._lifeline = os.pipe()
            undo.callback(os.close, self._lifeline)
            with theirs, os.fdopen(watched, "rb"):
                self._process = _child(models, library, package, theirs.fileno(), self._memory, watched)
            undo.pop_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, model: int) -> None:
        """The window of this model is in the shared memory: run it."""
        try:
            self._socket.sendall(b"%d\n" % model)
        except OSError as error:
            raise self._death() from error

    def receive(self, wait_s: float) -> dict[str, Any] | None:
        """The next message, None if none comes within `wait_s`; CoralError if the child failed or died."""
        end = time.monotonic() + wait_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, end - time.monotonic())):
                    return None
                data = self._read()
                if not data:
                    raise self._death()
                self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise CoralFailed(_explain(message["error"]))
        self._answered = True
        return message

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:  # the child died before it had read the last line
            return b""

    def buffers(self, shapes: Sequence[Shapes]) -> list[tuple[NDArray[np.int8], NDArray[np.int8]]]:
        """Input and output of each model in the shared memory, one after the other."""
        tensors = [shape for model in shapes for shape in (model.input, model.output)]
        ends = np.cumsum([int(np.prod(shape)) for shape in tensors])
        # Sealed, the file cannot be cut short: reading behind its end would kill this process with SIGBUS.
        fcntl.fcntl(self._memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        if os.fstat(self._memory).st_size != ends[-1]:
            self.close()
            raise CoralFailed("the process that uses the Coral made no memory for its tensors")
        shared = np.frombuffer(mmap.mmap(self._memory, int(ends[-1])), np.int8)
        parts = [part.reshape(shape) for part, shape in zip(np.split(shared, ends[:-1]), tensors, strict=True)]
        return list(zip(parts[::2], parts[1::2], strict=True))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        self._socket.close()
        for descriptor in (self._memory, self._lifeline):
            os.close(descriptor)
        with contextlib.suppress(subprocess.TimeoutExpired):  # one stuck in the USB driver is reaped later
            self._process.wait(1.0)

    def _death(self) -> CoralError:
        try:
            status = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return CoralHung("the process that uses the Coral closed its connection but does not end")
        if status < 0:
            crash = f"{self._about} crashed ({signal.Signals(-status).name})"
            if status == -signal.SIGKILL:
                return CoralCrashed(f"{crash}: something killed it, perhaps because memory ran out")
            if self._answered:
                return CoralCrashed(
                    f"{crash} after it had worked: plug the Coral in again, into a port or hub that gives 900 mA"
                )
            return CoralCrashed(f"{crash} while loading: they do not match; {compatibility.ADVICE}")
        return CoralFailed(f"the process that uses the Coral ended with status {status}")


def _child(
    models: Sequence[Path], library: str, package: str, control: int, memory: int, lifeline: int
) -> subprocess.Popen[bytes]:
    options = {"--library": library, "--interpreter": package}
    inherited = {"--control": control, "--memory": memory, "--lifeline": lifeline}
    named = map(str, chain.from_iterable((options | inherited).items()))
    return subprocess.Popen(
        python.module("device.inference.edgetpu.worker", *named, "--models", *map(str, models)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=python.environment(),
        pass_fds=tuple(inherited.values()),
        start_new_session=True,
    )


EXPLANATIONS = (
    ("ermission denied", "a file may not be read: look at its owner and mode"),
    ("cannot open shared object", "libedgetpu is not installed: install the package libedgetpu1-std"),
    ("No such device", "the Coral is gone: plug it in"),
    ("Could not open", "the model file cannot be read"),
    ("model identifier", "the model file is no TFLite model"),
    ("not a valid Flatbuffer", "the model file is no TFLite model"),
    ("newer than this runtime", "libedgetpu is too old for the model: install libedgetpu1-std 16.0"),
    ("unresolved custom op", "the interpreter did not take libedgetpu's delegate for the compiled model"),
    (
        "Failed to load delegate",
        "no Coral, no permission, or another program (the dictation service?) uses it: see `dictate doctor`",
    ),
)
"""What libedgetpu and the interpreter say, and what it means."""


def _explain(message: str) -> str:
    for pattern, meaning in EXPLANATIONS:
        if pattern in message:
            return f"{meaning} ({message})"
    return message
