"""A Chromium for tests to drive, also on a machine without /etc/hosts, where "localhost" is no name of anything."""

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
