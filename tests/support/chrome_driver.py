"""A Chromium for tests to drive, also on a machine without /etc/hosts, where "localhost" is no name of anything.

What a page shows is read by a script, in one step: an element that Selenium has found may have been replaced by the
time that its text is asked for, which is an error (StaleElementReferenceException).
"""

from __future__ import annotations

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common import utils

DRIVER = "/usr/bin/chromedriver"


class LoopbackService(Service):
    """chromedriver, spoken to by its address: Selenium asks for localhost."""

    @property
    def service_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_connectable(self) -> bool:
        return bool(utils.is_connectable(self.port, "127.0.0.1"))


def opened(options: ChromeOptions) -> Chrome:
    """Chromium with `options`; chromedriver speaks to it through a pipe, since it would look for localhost, too."""
    options.add_argument("--remote-debugging-pipe")
    return Chrome(options, LoopbackService(DRIVER))


def text(browser: Chrome, id: str) -> str:
    """What can be read in an element; empty where there is none, or it is hidden."""
    return str(_of_element(browser, id, "element?.checkVisibility() ? element.innerText.trim() : ''"))


def displayed(browser: Chrome, id: str) -> bool:
    """Whether there is such an element, and it is not hidden."""
    return bool(_of_element(browser, id, "element?.checkVisibility() ?? false"))


def present(browser: Chrome, id: str) -> bool:
    """Whether there is such an element, hidden or not."""
    return bool(_of_element(browser, id, "element !== null"))


def attribute(browser: Chrome, id: str, name: str) -> str:
    """An element's property or, without one, attribute; empty where there is none."""
    return str(_of_element(browser, id, "element?.[name] ?? element?.getAttribute(name) ?? ''", name))


def _of_element(browser: Chrome, id: str, expression: str, name: str = "") -> object:
    script = f"const [id, name] = arguments; const element = document.getElementById(id); return {expression}"
    return browser.execute_script(script, id, name)
