"""A server on loopback that gives one file, well or badly: what downloads are tried against."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server does: status, bytes, and how many of them it sends before it hangs up or stalls."""

    content: bytes
    status: int = 200
    sends: int | None = None
    stalls: bool = False
    requests: int = 0


@contextmanager
def serving(served: Served, name: str) -> Iterator[str]:
    """The address of a file called `name` that the server gives."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            self.send_response(served.status)
            self.send_header("Content-Length", str(len(served.content)))
            self.end_headers()
            self.wfile.write(served.content[: served.sends])
            self.wfile.flush()
            if served.stalls:
                time.sleep(60)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/{name}"
    finally:
        http.shutdown()
        http.server_close()
