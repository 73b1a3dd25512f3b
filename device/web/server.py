"""The page's server: static files, what the page asks for, and the stream of events.

Everything but the page itself, which tells nothing, needs a session; see device/web/security.py for who gets one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from device.web import security
from device.web.hub import Hub
from device.web.protocol import LARGEST, Answer
from models.errors import UserError

log = logging.getLogger(__name__)

STATIC = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Files of device/web/static and their types."""

WAIT_S = 90.0
"""An operation that takes longer is given up; the doctor listens to the microphone for some seconds."""

AT_ONCE = 2
"""Operations at the same time: each may be a process."""

CONNECTIONS = 64

IP_FREEBIND = 15
"""ip(7): listen on an address that the machine does not have yet, such as that of a cable that is not plugged in."""

Ask = Callable[[Mapping[str, Any]], Awaitable[Answer]]
"""Has an operation carried out."""


@dataclass(slots=True)
class Site:
    """What the page is served from."""

    sessions: security.SessionStore
    hub: Hub
    ask: Ask
    port: int
    names: frozenset[str]
    """Host names under which it may be reached, beside addresses."""
    busy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


class Guard:
    """Before everything else: whose name the request carries, who made it, how large it is; and headers after."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in security.HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, sealed)

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        if not security.is_our_host(headers.get("host", ""), self._site.port, self._site.names):
            return _error(421, "this server is not called that; open it by its address")
        write = method not in ("GET", "HEAD")
        if (write or path.startswith("/api/")) and not security.is_same_origin(headers, write):
            return _error(403, "refused: the request does not come from this page")
        length = headers.get("content-length", "")
        if write and not (length.isdecimal() and int(length) <= LARGEST):
            return _error(413, f"a request may have {LARGEST} bytes, and must say how many")
        return None


def application(site: Site) -> Starlette:
    """The ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(site.hub.run())
        yield
        following.cancel()

    async def enter(request: Request) -> Response:
        body = await _body(request)
        address = request.client.host if request.client else ""
        token = body.get("token")
        try:
            session = site.sessions.enter(token if isinstance(token, str) else "", address)
        except security.WrongTokenError:
            log.warning("a wrong token from %s", address)
            return _error(403, "the token is wrong; `dictate web` prints it")
        except security.TooManyTriesError as error:
            return _error(429, str(error), {"retry-after": str(error.retry_s)})
        response = JSONResponse({"csrf": session.csrf})
        response.set_cookie(
            security.COOKIE, session.id, max_age=int(security.IDLE_S), httponly=True, samesite="strict", path="/"
        )
        return response

    async def session(request: Request) -> Response:
        return JSONResponse({"csrf": _session(request, site).csrf})

    async def leave(request: Request) -> Response:
        site.sessions.leave(_session(request, site).id)
        response = JSONResponse({})
        response.delete_cookie(security.COOKIE, path="/", httponly=True, samesite="strict")
        return response

    async def events(request: Request) -> Response:
        own = _session(request, site)
        if site.hub.full:
            return _error(503, "too many pages are open")
        return StreamingResponse(_stream(site, own.id), media_type="text/event-stream")

    async def operation(request: Request) -> Response:
        _session(request, site)
        body = await _body(request)
        async with site.busy:
            answer = await site.ask(body)
        return JSONResponse(answer, 422 if "error" in answer else 200)

    files = resources.files("device.web") / "static"
    pages = [_static(name, (files / name).read_bytes(), kind) for name, kind in STATIC.items()]
    routes = [
        *pages,
        Route("/api/session", session, methods=["GET"]),
        Route("/api/session", enter, methods=["POST"]),
        Route("/api/session", leave, methods=["DELETE"]),
        Route("/api/events", events, methods=["GET"]),
        Route("/api/do", operation, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.add_middleware(Guard, site=site)
    return app


def ask_socket(path: Path) -> Ask:
    """Operations are carried out by the process behind a Unix socket, one connection each."""

    async def ask(request: Mapping[str, Any]) -> Answer:
        try:
            async with asyncio.timeout(WAIT_S):
                reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
                try:
                    writer.write(json.dumps(request).encode() + b"\n")
                    await writer.drain()
                    answer = json.loads(await reader.readline())
                finally:
                    writer.close()
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            log.error("%s: %s", path, error or type(error).__name__)
            return {"error": f"{path}: no answer; `systemctl status dictate-web-operations.socket` says why"}
        return answer if isinstance(answer, dict) else {"error": f"{path}: no answer"}

    return ask


def listen(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """Sockets on `addresses`. Raises UserError."""
    sockets = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        sockets.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            for each in sockets:
                each.close()
            raise UserError(f"{address} port {port}: {error.strerror}; set web.address or web.port") from None
    return sockets


def serve(site: Site, sockets: list[socket.socket], ready: Callable[[], object]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once connections are taken."""
    config = uvicorn.Config(
        application(site),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=1 << 14,
    )
    _Server(config, ready).run(sockets=sockets)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


async def _stream(site: Site, session: str) -> AsyncIterator[bytes]:
    async for event in site.hub.events():
        if site.sessions.get(session) is None:
            return
        yield b": alive\n\n" if event is None else f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _session(request: Request, site: Site) -> security.BrowserSession:
    found = site.sessions.get(request.cookies.get(security.COOKIE, ""))
    if found is None:
        raise HTTPException(401, "not connected; open the address that `dictate web` prints")
    if request.method not in ("GET", "HEAD") and not security.is_csrf_of(found, request.headers.get(security.CSRF, "")):
        raise HTTPException(403, "refused: the request does not come from this page")
    return found


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError, ClientDisconnect):
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "not a JSON object")
    return body


def _static(name: str, content: bytes, kind: str) -> Route:
    async def page(request: Request) -> Response:
        return Response(content, media_type=kind)

    return Route("/" if name == "index.html" else f"/{name}", page, methods=["GET"])


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, "an error in the server; its log says more")


def site_of(token: str, feed: Path, ask: Ask, port: int, names: Iterable[str]) -> Site:
    """A site with new sessions."""
    ours = frozenset(name.lower() for name in names)
    return Site(security.SessionStore(token, time.monotonic), Hub(feed), ask, port, ours)
