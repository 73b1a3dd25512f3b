"""The page in a real Chromium, against a real server and a real appliance that hears a recording."""

from __future__ import annotations

import json
import signal
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import web_page
from appliance_bench import Bench
from chrome_driver import attribute, displayed, present, text
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from web_page import TOKEN, Page, chromium, served, wait

from device.config.loader import load
from device.vocabulary.user_words import load as load_words

SPEECH = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav")
AXE = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(tmp_path: Path, browser: Chrome) -> Iterator[Page]:
    """A server without an appliance, and the browser with nothing left of the test before."""
    port = web_page.free_port()
    config = tmp_path / "config.toml"
    config.write_text(
        f'[vocabulary]\nfile = "{tmp_path}/words.tsv"\n[power]\ndir = "{tmp_path}/power"\n'
        f'[sinks.journal]\ndir = "{tmp_path}/journal"\n[bundle]\ndir = "{tmp_path}/none"\n'
        + web_page.configuration(tmp_path, port)
    )
    browser.get("about:blank")
    with served(config, port) as page:
        yield page


def shown(browser: Chrome, id: str, wanted: str) -> None:
    wait(lambda: wanted in text(browser, id), f"{wanted!r} in #{id}")


def connect(browser: Chrome, page: Page) -> None:
    browser.get(page.entry)
    wait(lambda: present(browser, "set-panel.mode"), "the settings")


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def focused(browser: Chrome) -> str:
    """The id or, without one, the label of the element that has the focus."""
    return str(browser.execute_script("const it = document.activeElement; return it.id || it.ariaLabel || ''"))


def tab_to(browser: Chrome, id: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        if focused(browser) == id:
            return
        press(browser, Keys.TAB)
    raise AssertionError(f"80 presses of Tab do not lead to {id}")


def violations(browser: Chrome) -> list[str]:
    """What axe-core finds wrong with the page as it is."""
    browser.execute_script(AXE)
    found: dict[str, Any] = browser.execute_async_script(
        "const done = arguments[1]; axe.run(document, {runOnly: arguments[0]}).then(done)", WCAG
    )
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]


@pytest.mark.slow
def test_live_text_appears_while_a_dictation_runs(bundle: Path, tmp_path: Path, browser: Chrome) -> None:
    port = web_page.free_port()
    bench = Bench(tmp_path)
    recogniser = f'[bundle]\ndir = "{bundle}"\n[recognizer]\nbackend = "cpu"\n'
    bench.configure(recogniser + web_page.configuration(tmp_path, port))
    source = f'[audio]\nsource = "file"\nfile = "{SPEECH}"\nkeep_open = false'
    bench.file.write_text(bench.file.read_text().replace("[audio]", source))
    try:
        bench.start("real")
        with served(bench.file, port) as page:
            connect(browser, page)
            shown(browser, "state", "Ready")
            bench.button(True)
            shown(browser, "state", "Listening")
            partial = wait(lambda: text(browser, "live"), "live text")
            assert len(partial.split()) >= 1
            wait(lambda: float(attribute(browser, "level", "value")) > -55, "the level")
            bench.button(False)
            bench.manager.wait(lambda: "1 dictations" in bench.manager.status, 60)
            said = "".join(entry.text for entry in bench.entries()).strip()
            wait(lambda: said in said_on(browser), f"{said!r} among the last texts")
            shown(browser, "state", "Ready")
            assert text(browser, "live") == ""
            browser.refresh()
            wait(lambda: said in said_on(browser), "the journal's text after a reload")

            wait(lambda: present(browser, "set-panel.mode"), "the settings after a reload")
            ready = bench.manager.ready
            control = browser.find_element(By.ID, "set-panel.mode")
            control.send_keys("toggle")
            browser.find_element(By.CSS_SELECTOR, "#settings button[type=submit]").click()
            shown(browser, "settings-note", "Saved.")
            bench.manager.wait(lambda: bench.manager.ready > ready, 60)
            loaded = load(bench.file, page=True)
            assert loaded.config.panel.mode == "toggle"
            assert loaded.origins()["panel.mode"] == f"{tmp_path}/settings.toml:2"
            assert bench.stop(signal.SIGTERM) == 0
            shown(browser, "state", "not running")
    finally:
        bench.close()


def said_on(browser: Chrome) -> str:
    """The last texts, read in one step: the page may put new ones in their place meanwhile."""
    script = "return [...document.querySelectorAll('#texts li > span')].map((each) => each.textContent).join(' ')"
    return str(browser.execute_script(script))


def test_words_are_added_and_removed_by_keyboard_alone(tmp_path: Path, page: Page, browser: Chrome) -> None:
    browser.get(page.url)
    wait(lambda: displayed(browser, "token"), "the form")
    tab_to(browser, "token")
    press(browser, TOKEN, Keys.ENTER)
    wait(lambda: present(browser, "set-panel.mode"), "the settings")
    tab_to(browser, "written")
    press(browser, "Kowalczyk", Keys.TAB, "ko val chick", Keys.ENTER)
    shown(browser, "words", "Kowalczyk (sounds like ko val chick)")
    (word,) = load_words(tmp_path / "words.tsv").words
    assert (word.written, word.sounds_like) == ("Kowalczyk", "ko val chick")
    wait(lambda: focused(browser) == "written", "the focus")
    shown(browser, "said", "Kowalczyk added")
    press(browser, "#!", Keys.ENTER)
    shown(browser, "word-error", "needs a letter or digit")
    assert attribute(browser, "written", "aria-invalid") == "true"
    tab_to(browser, "Remove Kowalczyk")
    press(browser, Keys.SPACE)
    wait(lambda: not load_words(tmp_path / "words.tsv").words, "the word's removal")


def test_a_wrong_setting_is_named_at_its_field_and_a_right_one_is_kept(
    tmp_path: Path, page: Page, browser: Chrome
) -> None:
    (tmp_path / "settings.toml").write_text("# by hand\n[text]\ndigits_from = 5  # as in the style book\n")
    connect(browser, page)
    field = browser.find_element(By.ID, "set-text.digits_from")
    assert field.get_attribute("value") == "5"
    field.clear()
    field.send_keys("500", Keys.ENTER)
    shown(browser, "set-text.digits_from-error", "must be an integer, 0 to 100")
    assert field.get_attribute("aria-invalid") == "true" and focused(browser) == "set-text.digits_from"
    field.clear()
    field.send_keys("3")
    browser.find_element(By.ID, "set-text.numbers").send_keys(Keys.SPACE, Keys.ENTER)
    shown(browser, "settings-note", "Saved.")
    kept = (tmp_path / "settings.toml").read_text()
    assert "# by hand\n" in kept and "digits_from = 3  # as in the style book\n" in kept
    assert tomllib.loads(kept) == {"text": {"digits_from": 3, "numbers": False}}
    undo = browser.find_element(By.CSS_SELECTOR, "[aria-label='Undo text.digits_from: as on the card']")
    undo.send_keys(Keys.ENTER)
    wait(lambda: "digits_from" not in (tmp_path / "settings.toml").read_text(), "the setting's removal")


def test_the_token_stays_in_no_address_and_a_wrong_one_is_refused(page: Page, browser: Chrome) -> None:
    browser.get(f"{page.url}/#token=wrong-but-long-enough-for-it")
    shown(browser, "enter-error", "the token is wrong")
    assert "token" not in browser.current_url
    assert not displayed(browser, "connected")
    browser.find_element(By.ID, "token").send_keys(TOKEN, Keys.ENTER)
    wait(lambda: displayed(browser, "connected"), "the page")
    (cookie,) = browser.get_cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and TOKEN not in cookie["value"]
    browser.find_element(By.ID, "leave").click()
    wait(lambda: displayed(browser, "token"), "the form")
    browser.get(page.url)
    wait(lambda: displayed(browser, "token"), "the form after a reload")


def test_an_element_that_is_replaced_all_the_time_can_be_read(browser: Chrome) -> None:
    browser.get("about:blank")
    redraw = "document.body.innerHTML = `<p id=live title=now>so <b>far</b></p><p id=unseen hidden>x</p>`"
    browser.execute_script(f"setInterval(() => {{ {redraw} }}, 0); {redraw}")
    seen = {(text(browser, "live"), displayed(browser, "live"), attribute(browser, "live", "title")) for _ in range(99)}
    assert seen == {("so far", True, "now")}
    assert present(browser, "unseen") and not displayed(browser, "unseen") and not present(browser, "none")
    assert text(browser, "unseen") == text(browser, "none") == attribute(browser, "none", "title") == ""


class Attacker(BaseHTTPRequestHandler):
    """A server on the same machine, of which the browser sends cookies along: for them, ports are one site."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Another site</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_another_sites_page_can_neither_read_nor_write(tmp_path: Path, page: Page, browser: Chrome) -> None:
    connect(browser, page)
    attempt = """
        const [url, method, body, mode, done] = arguments;
        fetch(url, {method, body: body ?? undefined, credentials: "include", mode})
          .then((response) => response.text().then((text) => done([response.type, response.status, text])))
          .catch((error) => done(["refused", 0, ""]));
    """
    word = json.dumps({"do": "add word", "written": "Mallory"})
    with ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as attacker:
        threading.Thread(target=attacker.serve_forever, daemon=True).start()
        browser.get(f"http://127.0.0.1:{attacker.server_port}/")
        assert browser.title == "Another site"
        for mode in ("cors", "no-cors"):
            for method, path, body in (
                ("GET", "/api/session", None),
                ("GET", "/page.js", None),
                ("POST", "/api/do", word),
                ("POST", "/api/session", json.dumps({"token": TOKEN})),
            ):
                kind, status, answer = browser.execute_async_script(attempt, page.url + path, method, body, mode)
                assert kind in ("refused", "opaque") and (status, answer) == (0, ""), (mode, method, path)
        attacker.shutdown()
    connect(browser, page)
    assert not (tmp_path / "words.tsv").exists()


def test_the_page_is_accessible_in_both_colour_schemes_and_fits_a_phone(
    tmp_path: Path, page: Page, browser: Chrome
) -> None:
    browser.get_log("browser")  # what the tests before have left there
    browser.get(page.url)
    wait(lambda: displayed(browser, "token"), "the form")
    assert violations(browser) == []
    (tmp_path / "words.tsv").write_text("Kowalczyk\tko val chick\n")
    connect(browser, page)
    shown(browser, "words", "Kowalczyk")
    browser.find_element(By.ID, "plot").click()
    wait(lambda: displayed(browser, "power"), "the plot")
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert violations(browser) == []
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    )
    width = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360
    refused = [line["message"] for line in browser.get_log("browser") if "Content Security Policy" in line["message"]]
    assert refused == []
