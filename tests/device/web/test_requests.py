"""What the server refuses, asked over its own socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import web_page
from web_page import DICTATE, TOKEN, Page, served, wait

from device.app.ports import Phase
from device.output.feed import Feed
from device.panel.leds import LedState


def written(folder: Path) -> Path:
    """A configuration whose files are all below a folder."""
    file = folder / "config.toml"
    folders = f'[vocabulary]\nfile = "{folder}/words.tsv"\n[sinks.journal]\ndir = "{folder}/journal"\n'
    file.write_text(folders + web_page.configuration(folder, web_page.free_port()))
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written(tmp_path)


def port_of(config: Path) -> int:
    return int(config.read_text().partition("port = ")[2].split()[0])


@pytest.fixture
def own(config: Path) -> Iterator[Page]:
    """A server for one test."""
    with served(config, port_of(config)) as page:
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Page]:
    with served(written(folder), port_of(folder / "config.toml")) as page:
        yield page


@pytest.fixture
def page(server: Page) -> Page:
    """A new visitor of a server that all tests share."""
    return Page(server.port)


def test_without_the_token_there_is_only_the_empty_page(page: Page) -> None:
    assert b"Connecting" in page.request("GET", "/").body
    for request in ("GET /api/session", "GET /api/events", "POST /api/do", "DELETE /api/session"):
        assert page.request(*request.split(), {"do": "words"}).status == 401, request
    page.cookie = "dictate=guess"
    assert page.request("GET", "/api/events").status == 401
    assert page.request("GET", "/../operations.py").status == 404


def test_the_token_is_exchanged_for_a_cookie_that_no_script_reads(page: Page) -> None:
    answer = page.enter()
    assert answer.status == 200
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert page.request("GET", "/api/session").json == {"csrf": page.csrf}
    assert page.request("POST", "/api/do", {"do": "words"}).json == {"ok": {"words": [], "faults": []}}
    assert page.request("DELETE", "/api/session").status == 200
    assert page.request("POST", "/api/do", {"do": "words"}).status == 401


def test_wrong_tokens_are_slowed_down(own: Page) -> None:
    for token in ("", TOKEN[:-1], TOKEN + "x", "ß" * 30, TOKEN.upper()):
        assert own.enter(token).status == 403
    answer = own.enter(TOKEN)
    assert answer.status == 429 and 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_name_that_was_made_to_lead_here_is_refused(page: Page) -> None:
    """DNS rebinding: the browser believes to speak to another site, and says its name."""
    page.enter()
    for host in ("evil.example", f"evil.example:{page.port}", f"127.0.0.1.evil.example:{page.port}", "127.0.0.1", " "):
        assert page.request("GET", "/", host=host).status in (400, 421), host
        assert page.request("POST", "/api/do", {"do": "words"}, host=host, origin=f"http://{host}").status in (400, 421)
    for host in (f"localhost:{page.port}", f"{socket.gethostname()}:{page.port}", f"10.55.0.1:{page.port}"):
        assert page.request("GET", "/", host=host).status == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"x_csrf_token": "guess"},
        {"x_csrf_token": ""},
    ],
    ids=str,
)
def test_another_sites_write_is_refused(folder: Path, page: Page, headers: dict[str, str]) -> None:
    page.enter()
    request = {"do": "add word", "written": "Kowalczyk"}
    assert page.request("POST", "/api/do", request, **headers).status == 403
    assert not (folder / "words.tsv").exists()
    assert page.request("POST", "/api/do", request).status == 200
    (folder / "words.tsv").unlink()


def test_another_site_reads_nothing(page: Page) -> None:
    page.enter()
    for path in ("/api/session", "/api/events"):
        assert page.request("GET", path, sec_fetch_site="cross-site").status == 403
    answer = page.request("GET", "/api/session", origin="http://evil.example")
    assert answer.status == 403 and not any(name.startswith("access-control") for name in answer.headers)


def test_what_is_too_large_or_no_request_is_refused(page: Page) -> None:
    page.enter()
    assert page.request("POST", "/api/do", {"do": "x" * 20_000}).status == 413
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    headers = {"Cookie": page.cookie, "X-CSRF-Token": page.csrf, "Origin": page.url, "Transfer-Encoding": "chunked"}
    connection.request("POST", "/api/do", iter([b"{}"]), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert page.request("POST", "/api/do", [1]).status == 400
    assert page.request("POST", "/api/do", {"do": "format the card"}).status == 422


def test_every_answer_forbids_what_the_page_does_not_need(page: Page) -> None:
    for path in ("/", "/page.js", "/api/session", "/nothing"):
        headers = page.request("GET", path).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store" and "server" not in headers


def test_what_the_page_may_set_is_no_path_and_nothing_of_network_or_login(page: Page) -> None:
    page.enter()
    for key in ("system.ssh_key", "web.token", "bundle.dir", "sinks.journal.mode", "power.meter", "no.key"):
        answer = page.request("POST", "/api/do", {"do": "change settings", "changes": {key: "x"}})
        assert answer.status == 422 and "cannot be changed on this page" in answer.json["error"]


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, "\ud800", "x" * 201, float("nan"), 10**400, "\n[system]\nssh_key = 1"]
)
def test_no_odd_value_reaches_the_file(folder: Path, page: Page, value: object) -> None:
    page.enter()
    for key in ("text.digits_from", "panel.mode"):
        answer = page.request("POST", "/api/do", {"do": "change settings", "changes": {key: value}})
        assert answer.status == 422 and answer.json["problems"].keys() == {key}
    assert not (folder / "settings.toml").exists()


def test_events_reach_the_page_and_end_with_the_session(folder: Path, page: Page) -> None:
    page.enter()
    feed = Feed(folder / "feed")
    try:
        feed.publish("state", states=["ready"], status="ready")
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
        connection.request("GET", "/api/events", headers={"Cookie": page.cookie})
        stream = connection.getresponse()
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = []
        while not any(event["event"] == "state" for event in seen):
            seen += events(stream)
        feed.publish("partial", stable="hello", tail="wor")
        (partial,) = events(stream)
        assert partial == {"event": "partial", "stable": "hello", "tail": "wor"}
        assert page.request("DELETE", "/api/session").status == 200
        feed.publish("partial", stable="secret", tail="")
        assert stream.read().strip() == b""
        connection.close()
    finally:
        feed.close()


def events(stream: http.client.HTTPResponse) -> list[dict[str, object]]:
    """The next event of a stream."""
    line = stream.readline()
    while not line.startswith(b"data: "):
        assert line, "the stream ended"
        line = stream.readline()
    return [json.loads(line.removeprefix(b"data: "))]


def test_a_new_token_is_for_its_owner_alone_and_dictate_web_prints_it(tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text().replace(f'"{TOKEN}"', '"********"'))
    port = port_of(config)
    with served(config, port, RUNTIME_DIRECTORY=str(tmp_path)) as page:
        file = tmp_path / "token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert page.enter(file.read_text()).status == 200
        printed = dictate("web", "--config", str(config), "--token-file", str(file), "--qr")
        first, *drawn = printed.stdout.splitlines()
        assert first == f"http://127.0.0.1:{port}/#token={file.read_text()}" and len(drawn) > 10
    assert file.read_text() not in (tmp_path / "web.log").read_text()


def test_the_token_of_the_card_comes_as_a_credential(tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text().replace(f'"{TOKEN}"', '"********"'))
    (tmp_path / "token").write_text("credential-of-24-letters\n")
    with served(config, port_of(config), CREDENTIALS_DIRECTORY=str(tmp_path)) as page:
        assert page.enter("credential-of-24-letters").status == 200


def test_a_page_that_is_not_wanted_is_not_served(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    for command in (["web", "serve"], ["web"]):
        done = dictate(*command, "--config", str(file))
        assert done.returncode == 1 and "web.enabled = false" in done.stderr


def test_a_port_that_is_taken_is_one_line(config: Path) -> None:
    with socket.create_server(("127.0.0.1", port_of(config))):
        done = dictate("web", "serve", "--config", str(config))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "web.port" in done.stderr


def dictate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DICTATE, *arguments], capture_output=True, text=True, timeout=120)


def test_operations_are_done_by_another_process(tmp_path: Path, config: Path) -> None:
    """As dictate-web-operations.socket does it: systemd starts a process for each connection."""
    behind = tmp_path / "operations"
    activate = ["systemd-socket-activate", "--accept", "--inetd", "--listen", str(behind), *environment()]
    with (tmp_path / "activate.log").open("w") as log:
        process = subprocess.Popen([*activate, *DICTATE, "web", "answer", "--config", str(config)], stderr=log)
    try:
        wait(behind.exists, "the socket")
        with served(config, port_of(config)) as page:
            page.enter()
            assert page.request("POST", "/api/do", {"do": "add word", "written": "Kowalczyk"}).json["ok"]["words"]
            assert (tmp_path / "words.tsv").read_text() == "Kowalczyk\n"
            refused = page.request("POST", "/api/do", {"do": "remove word", "written": "Xiaoming"})
            assert refused.status == 422 and refused.json["error"] == "Xiaoming: not among the words"
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            answer = page.request("POST", "/api/do", {"do": "words"})
            assert answer.status == 422 and "dictate-web-operations" in answer.json["error"]
    finally:
        process.kill()
        process.wait()


def environment() -> list[str]:
    """systemd-socket-activate hands on only what it is told to."""
    return [f"--setenv={name}" for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ]


def test_the_page_knows_every_activity_of_the_appliance() -> None:
    """What it does not know it shows as something wrong."""
    script = (resources.files("device.web") / "static" / "page.js").read_text()
    (known,) = re.findall(r"^const ACTIVITY = \{(.*)\};$", script, re.M)
    assert set(re.findall(r"(\w+):", known)) == {phase.value for phase in Phase} - {"fault"}
    assert LedState.FAULT.value == "fault"
