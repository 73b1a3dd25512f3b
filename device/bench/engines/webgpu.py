"""The source's float32 model in ONNX Runtime Web on WebGPU, in a headless Chromium; the search stays in this program.

The time that windows and posteriors take between the two processes is in the latency, Chromium's processes are in CPU
and memory. A software adapter is far slower than speech: there it hears as a file is read, without lookahead.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from device.bench.engine import Engine, Job, not_installed
from device.bench.engines import onnx, stream
from device.browser import runtime
from models.errors import UserError

if TYPE_CHECKING:
    from device.asr.recognizer import Recognizer
    from device.browser.page import Page

PACKAGES = ("websockets",)
OPENING_S = 60.0
SOFTWARE = ("swiftshader", "llvmpipe", "lavapipe")


def missing(job: Job) -> str:
    if reason := not_installed("websockets", "websockets") or onnx.missing(job):
        return reason
    from device.browser import chromium

    if not chromium.found():
        return "no Chromium; sudo apt install chromium"
    if not (runtime.PACKAGE / "package.json").is_file():
        return "no ONNX Runtime Web; make browser"
    return ""


def load(job: Job) -> Engine:
    from device.asr.decoder import Decoder
    from device.asr.recognizer import Recognizer
    from device.browser.acoustic import BrowserAcoustic

    bundle = stream.opened(job.comparison, job)
    browser = Browser(bundle.root, "webgpu")
    about = browser.page.about()
    live = job.live and not any(name in about.adapter.lower() for name in SOFTWARE)
    recognizer = Recognizer(bundle, BrowserAcoustic(bundle, browser.page), Decoder.of(bundle), live=live)
    return InBrowser(recognizer, stream.files(bundle, "onnx_encoder", "head"), browser, str(about))


class Browser:
    """A headless Chromium with the page open, until `close`."""

    def __init__(self, comparison: Path, provider: str) -> None:
        """`comparison` is a bundle with a float32 encoder, `provider` webgpu or wasm. Raises UserError."""
        from device.browser import chromium
        from device.browser.server import Files, serving
        from models.bundle import Bundle

        pages: SimpleQueue[Page] = SimpleQueue()
        done = threading.Event()

        def work(page: Page) -> None:
            pages.put(page)
            done.wait()

        program = chromium.found()
        if program is None:
            raise UserError("no Chromium; sudo apt install chromium")
        with ExitStack() as stack:
            files = Files.of(Bundle.open(comparison))
            address = stack.enter_context(serving(files, work))
            stack.callback(done.set)
            process = stack.enter_context(chromium.opened(program, f"{address}?provider={provider}"))
            try:
                self.page = pages.get(timeout=OPENING_S)
            except Empty:
                raise UserError(f"{program} did not open the page in {OPENING_S:.0f} s; try it by hand") from None
            self.pid = process.pid
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End Chromium and the server."""
        self._stack.close()


class InBrowser(stream.StreamingEngine):
    """The recogniser with its acoustic model in a browser; an `engine.Outside`."""

    def __init__(self, recognizer: Recognizer, model: Sequence[Path], browser: Browser, adapter: str) -> None:
        super().__init__(recognizer, model)
        self._browser = browser
        version = json.loads((runtime.PACKAGE / "package.json").read_text())["version"]
        self.about: Mapping[str, str] = {"adapter": adapter, "onnxruntime-web": version}

    def processes(self) -> Sequence[int]:
        return family(self._browser.pid)

    def close(self) -> None:
        self._browser.close()


def family(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """A process and all that descend from it."""
    children = [
        int(child) for task in (proc / str(pid) / "task").glob("*") for child in (task / "children").read_text().split()
    ]
    return [pid, *(below for child in children for below in family(child, proc))]
