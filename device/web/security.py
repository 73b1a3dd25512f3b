"""Who may use the page: the token, sessions, and which requests come from the page itself.

>>> sessions = SessionStore("correct-horse-battery-staple", clock=lambda: 0.0)
>>> session = sessions.enter("correct-horse-battery-staple", "10.0.0.7")
>>> sessions.get(session.id) is session, sessions.get("guess") is None
(True, True)
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

COOKIE = "dictate"
CSRF = "x-csrf-token"

MOST_SESSIONS = 32
"""Browsers; the one that was used longest ago goes first."""

IDLE_S = 30 * 86_400.0
"""A session that was not used for so long is over."""

TRIES, TRIES_OF_ALL, WITHIN_S = 5, 50, 60.0
"""Wrong tokens from one address, and from all, within so many seconds."""

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
"""On every answer."""


class WrongTokenError(Exception):
    """The token is wrong."""


class TooManyTriesError(Exception):
    """Too many wrong tokens; wait for `retry_s` seconds."""

    def __init__(self, retry_s: int) -> None:
        super().__init__(f"too many wrong tokens; wait for {retry_s} s")
        self.retry_s = retry_s


def new_token() -> str:
    """A token that nobody guesses: 144 random bits in 24 characters.

    >>> len(new_token()), new_token() != new_token()
    (24, True)
    """
    return secrets.token_urlsafe(18)


@dataclass(slots=True)
class BrowserSession:
    """One browser that knew the token."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    used: float = 0.0


class SessionStore:
    """Exchanges the token for sessions, which last in memory alone. `clock` is monotonic seconds."""

    def __init__(self, token: str, clock: Callable[[], float]) -> None:
        self._token, self._clock = token.encode(), clock
        self._sessions: dict[str, BrowserSession] = {}
        self._wrong: deque[tuple[float, str]] = deque(maxlen=TRIES_OF_ALL)

    def enter(self, token: str, address: str) -> BrowserSession:
        """A new session for who knows the token. Raises WrongTokenError or TooManyTriesError."""
        now = self._clock()
        while self._wrong and self._wrong[0][0] <= now - WITHIN_S:
            self._wrong.popleft()
        from_there = [when for when, who in self._wrong if who == address]
        if len(from_there) >= TRIES or len(self._wrong) >= TRIES_OF_ALL:
            oldest = from_there[0] if len(from_there) >= TRIES else self._wrong[0][0]
            raise TooManyTriesError(max(1, round(oldest + WITHIN_S - now)))
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            self._wrong.append((now, address))
            raise WrongTokenError
        if len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda id: self._sessions[id].used)]
        session = BrowserSession(used=now)
        self._sessions[session.id] = session
        return session

    def get(self, id: str) -> BrowserSession | None:
        """The session of a cookie, if there is one."""
        session = self._sessions.get(id)
        now = self._clock()
        if session is None or now - session.used > IDLE_S:
            self._sessions.pop(id, None)
            return None
        session.used = now
        return session

    def leave(self, id: str) -> None:
        """End a session."""
        self._sessions.pop(id, None)


def is_our_host(host: str, port: int, names: Collection[str]) -> bool:
    """Whether a Host header names this server: by an address, or by one of its own `names`.

    A page of another site whose name is made to lead here (DNS rebinding) sends that name.

    >>> [is_our_host(host, 8080, {"localhost"}) for host in ("10.55.0.1:8080", "[::1]:8080", "LOCALHOST:8080")]
    [True, True, True]
    >>> [is_our_host(host, 8080, {"localhost"}) for host in ("evil.example:8080", "10.55.0.1", "", "localhost:80")]
    [False, False, False, False]
    """
    name, colon, digits = host.rpartition(":")
    if not colon or digits != str(port):
        return False
    if name.lower() in names:
        return True
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return (":" in bare) == (bare != name)


def is_same_origin(headers: Mapping[str, str], write: bool) -> bool:
    """Whether a request was made by this server's own page, or typed by the user; `write` needs the page.

    >>> is_same_origin({"host": "desk:8080", "origin": "http://desk:8080"}, write=True)
    True
    >>> is_same_origin({"host": "desk:8080"}, write=True), is_same_origin({"host": "desk:8080"}, write=False)
    (False, True)
    >>> is_same_origin({"host": "desk:8080", "sec-fetch-site": "cross-site"}, write=False)
    False
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None and site not in (("same-origin",) if write else ("same-origin", "none")):
        return False
    if origin is None:
        return not write
    return origin == f"http://{headers.get('host', '')}"


def is_csrf_of(session: BrowserSession, given: str) -> bool:
    """Whether a write carries the session's own mark."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), session.csrf.encode())
