"""Serves the page on loopback: its files, ONNX Runtime Web, the models, and the WebSocket to work through.

with serving(files, work) as address:
    webbrowser.open(address)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from device.browser import runtime
from device.browser.page import Page
from models.bundle import Bundle
from models.errors import UserError

STATIC = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".onnx": "application/octet-stream",
}
POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; frame-ancestors 'none'; base-uri 'none'"


@dataclass(frozen=True, slots=True)
class Files:
    """What the page may ask for: its path -> the file."""

    paths: Mapping[str, Path]

    @classmethod
    def of(cls, bundle: Bundle) -> Files:
        """The page, the models of `bundle`, and ONNX Runtime Web. Raises UserError."""
        for name in runtime.FILES:
            if not (runtime.DIST / name).is_file():
                raise UserError(f"{runtime.DIST / name}: missing; `make browser` fetches ONNX Runtime Web")
        if not bundle.has("onnx_encoder"):
            raise UserError(f"{bundle.root}: no ONNX encoder; python convert/build.py --comparison {bundle.root}")
        paths = {f"/{file.name}": file for file in STATIC.iterdir()} | {"/": STATIC / "index.html"}
        paths |= {f"/runtime/{name}": runtime.DIST / name for name in runtime.FILES}
        paths |= {"/encoder.onnx": bundle.path("onnx_encoder"), "/head.onnx": bundle.path("head")}
        return cls(paths)

    def answer(self, target: str) -> Response:
        """The response to GET `target`."""
        file = self.paths.get(urlsplit(target).path)
        if file is None:
            return _response(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
        return _response(HTTPStatus.OK, TYPES.get(file.suffix, "application/octet-stream"), file.read_bytes())


@contextmanager
def serving(files: Files, work: Callable[[Page], None], port: int = 0) -> Iterator[str]:
    """Serves on 127.0.0.1 while the block runs, and gives the address; `work` is called with each page in turn.

    One page works at a time, another is refused; so is every page that another site has opened.
    """
    busy = threading.Lock()
    origins: list[str] = []

    def connected(connection: ServerConnection) -> None:
        if not busy.acquire(blocking=False):
            connection.send('{"refused": "another page is open; close it and reload this one"}')
            return
        try:
            page = Page(connection)
            reader = threading.Thread(target=page.listen, name="page", daemon=True)
            reader.start()
            work(page)
            connection.close()
            reader.join()
        finally:
            busy.release()

    def http(connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Host") not in hosts:
            return _response(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"unknown host\n")
        if urlsplit(request.path).path != "/work":
            return files.answer(request.path)
        if request.headers.get("Origin") not in origins:
            return _response(HTTPStatus.FORBIDDEN, "text/plain", b"another site's page\n")
        return None

    hosts: list[str] = []
    try:
        server: Server = serve(connected, "127.0.0.1", port, process_request=http, compression=None, max_size=1 << 24)
    except OSError as error:
        raise UserError(f"cannot listen on 127.0.0.1 port {port}: {error.strerror}") from error
    number = server.socket.getsockname()[1]
    hosts += [f"127.0.0.1:{number}", f"localhost:{number}"]
    origins += [f"http://{host}" for host in hosts]
    thread = threading.Thread(target=server.serve_forever, name="browser-server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{number}/"
    finally:
        server.shutdown()
        thread.join()


def _response(status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
