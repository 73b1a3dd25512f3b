"""`dictate web serve` in a process of its own, requests to it, and a headless Chromium that opens its page."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chrome_driver
from selenium.webdriver import Chrome, ChromeOptions

TOKEN = "t3st-t0ken_of-24-letters"
DICTATE = [sys.executable, "-m", "device.cli"]


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configuration(folder: Path, port: int) -> str:
    """The sections of the feed and the page, with every file below `folder`."""
    return f"""
[feed]
socket = "{folder}/feed"
[web]
enabled = true
port = {port}
token = "{TOKEN}"
operations = "{folder}/operations"
settings = "{folder}/settings.toml"
"""


@dataclass
class Answer:
    """A response, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """A server that runs, and plain requests to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.entry = f"{self.url}/#token={TOKEN}"
        self.cookie = self.csrf = ""

    def request(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request as the page makes it; `headers` (with _ for -) are added, or left out where empty."""
        sent = {"Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json"}
        if method != "GET":
            sent |= {"Origin": self.url, "Sec-Fetch-Site": "same-origin", "X-CSRF-Token": self.csrf}
        if self.cookie:
            sent["Cookie"] = self.cookie
        sent |= {name.replace("_", "-").title().replace("Csrf", "CSRF"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = b"" if body is None else json.dumps(body).encode()
        connection.putrequest(method, path, skip_host=True)
        for name, value in (sent | ({"Content-Length": str(len(data))} if method != "GET" else {})).items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(data if method != "GET" else None)
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def enter(self, token: str = TOKEN) -> Answer:
        """Exchange the token; later requests carry what came back."""
        answer = self.request("POST", "/api/session", {"token": token})
        if answer.status == 200:
            self.cookie, self.csrf = answer.headers["set-cookie"].partition(";")[0], answer.json["csrf"]
        return answer


@contextmanager
def served(config: Path, port: int, **environ: str) -> Iterator[Page]:
    """The page of a configuration, until the block ends."""
    with (config.parent / "web.log").open("ab") as log:
        process = subprocess.Popen(
            [*DICTATE, "web", "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | environ,
        )
    try:
        assert process.stdout is not None
        wait(lambda: reachable(port) or process.poll() is not None, "the server")
        assert process.poll() is None, (config.parent / "web.log").read_text()
        yield Page(port)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait(done: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until `done` says something true; returns that."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return found


@contextmanager
def chromium(profile: Path, width: int = 1000, height: int = 900, dark: bool = False) -> Iterator[Chrome]:
    """Debian's Chromium without a screen, with a new profile, that asks nobody for anything."""
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--force-prefers-reduced-motion",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = chrome_driver.opened(options)
    try:
        yield browser
    finally:
        browser.quit()
