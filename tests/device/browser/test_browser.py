"""The acoustic model in a real Chromium: the same posteriors as on the CPU, and a page that transcribes."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import chrome_driver
import numpy as np
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from device.asr.encoder import Encoder
from device.asr.factory import FloatEncoder
from device.bench.engines.webgpu import Browser, family
from device.bench.speech import TESTDATA
from device.browser import chromium
from device.browser.acoustic import BrowserAcoustic
from models.bundle import Bundle

ROOT = Path(__file__).parents[3]
DICTATE = Path(sys.executable).with_name("dictate")
CLIP = TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav"
SAID = "he might even have been made amiable himself"
PATIENCE_S = 300
"""For a machine that computes for others, too."""


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    """ONNX Runtime Web, as a user fetches it."""
    subprocess.run(["make", "browser"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def comparison(bundle: Path) -> Path:
    """The bundle with the float32 encoder."""
    made = bundle.with_name("base-comparison")
    command = [sys.executable, "convert/build.py", "--out", bundle, "--comparison", made]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return made


@pytest.mark.parametrize("provider", ["webgpu", "wasm"])
def test_a_browser_computes_the_same_posteriors(comparison: Path, provider: str) -> None:
    opened = Bundle.open(comparison)
    mel = np.random.default_rng(0).normal(-6, 3, (480, 80)).astype(np.float32)
    encoder = Encoder(opened, FloatEncoder(opened.path("onnx_encoder"), 1))
    expected = encoder.head(encoder.hidden(mel), slice(0, 200))
    browser = Browser(comparison, provider)
    try:
        about = browser.page.about()
        acoustic = BrowserAcoustic(opened, browser.page)
        found = acoustic.head(acoustic.hidden(mel), slice(0, 200))
        processes = family(browser.pid)
    finally:
        browser.close()
    assert about.provider == provider and bool(about.adapter) == (provider == "webgpu")
    assert np.abs(np.exp(found) - np.exp(expected)).max() < 1e-3
    assert len(processes) > 3 and not Path(f"/proc/{processes[0]}").exists()


@contextmanager
def page(comparison: Path, words: Path, *more: str) -> Iterator[tuple[str, int]]:
    """`dictate browser`: its address and port."""
    command = [DICTATE, "browser", "--comparison", comparison, f"--set=vocabulary.file={words}", *more]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        address = child.stdout.readline().split()[1]
        yield address, int(address.rstrip("/").rpartition(":")[2])
    finally:
        child.kill()
        child.communicate()


@contextmanager
def tab(*more: str) -> Iterator[Chrome]:
    """A headless Chromium for a test to drive."""
    options = ChromeOptions()
    options.binary_location = chromium.found() or "chromium"
    for switch in ("--no-sandbox", *chromium.QUIET, *more):
        options.add_argument(switch)
    opened = chrome_driver.opened(options)
    try:
        yield opened
    finally:
        opened.quit()


def ready(opened: Chrome) -> str:
    """What the page says once its models are loaded."""

    def loaded(driver: Chrome) -> str:
        said = chrome_driver.text(driver, "status")
        return said if said.startswith("Ready") else ""

    return WebDriverWait(opened, PATIENCE_S).until(loaded)


def final(opened: Chrome) -> str:
    """The text of the first utterance, once it is over."""
    WebDriverWait(opened, PATIENCE_S).until(
        lambda driver: driver.find_element(By.TAG_NAME, "body").get_attribute("data-finals")
    )
    return chrome_driver.text(opened, "text")


def test_a_recording_is_transcribed_in_the_page(comparison: Path, tmp_path: Path) -> None:
    with page(comparison, tmp_path / "words.tsv") as (address, _), tab() as opened:
        opened.get(f"{address}?provider=wasm")
        assert ready(opened) == "Ready: WebAssembly; no WebGPU here"
        opened.find_element(By.ID, "file").send_keys(str(CLIP))
        assert final(opened).lower().split() == SAID.split()
        assert opened.find_element(By.ID, "copy").is_enabled()
        broken = tmp_path / "broken.wav"
        broken.write_bytes(b"no sound")
        opened.find_element(By.ID, "file").send_keys(str(broken))
        WebDriverWait(opened, PATIENCE_S).until(
            lambda driver: "cannot be decoded" in chrome_driver.text(driver, "status")
        )
        assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_microphone_is_heard_in_the_page(comparison: Path, tmp_path: Path) -> None:
    """Chromium's own stand-in for a microphone plays the clip again and again."""
    microphone = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={CLIP}",
    )
    with page(comparison, tmp_path / "words.tsv") as (address, _), tab(*microphone) as opened:
        opened.get(f"{address}?provider=wasm")
        ready(opened)
        button = opened.find_element(By.ID, "microphone")
        button.send_keys(" ")  # as a keyboard does it
        WebDriverWait(opened, PATIENCE_S).until(
            lambda driver: (
                "amiable" in (chrome_driver.text(driver, "text") + chrome_driver.text(driver, "partial")).lower()
            )
        )
        assert button.get_attribute("aria-pressed") == "true"
        button.send_keys(" ")
        heard = set(final(opened).lower().split())  # wherever in the clip it was begun and stopped
        assert len(heard & set(SAID.split())) >= 3, heard


def test_other_sites_and_a_second_page_are_refused(comparison: Path, tmp_path: Path) -> None:
    with page(comparison, tmp_path / "words.tsv") as (address, port):
        work, own = f"ws://127.0.0.1:{port}/work", address.rstrip("/")
        for origin in (None, "http://example.com", f"http://example.com:{port}", "null"):
            with pytest.raises(InvalidStatus, match="403"):
                connect(work, origin=origin)  # type: ignore[arg-type]
        for host, status in ((f"example.com:{port}", 421), (f"127.0.0.1:{port}", 200)):
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            asked.request("GET", "/", headers={"Host": host})
            answer = asked.getresponse()
            assert answer.status == status
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        for path in ("/../pyproject.toml", "/bundle.json", "/static/page.js"):
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            asked.request("GET", path)
            assert asked.getresponse().status == 404
        with connect(work, origin=own) as _, connect(work, origin=own) as second:  # type: ignore[arg-type]
            assert "another page is open" in str(second.recv(60))


def test_a_page_that_sends_garbage_is_closed_and_the_next_is_served(comparison: Path, tmp_path: Path) -> None:
    with page(comparison, tmp_path / "words.tsv") as (address, port):
        for sent in ("{", "[]", b"", b"zz", b"s123", '{"hello": 1}'):
            with connect(f"ws://127.0.0.1:{port}/work", origin=address.rstrip("/")) as bad:  # type: ignore[arg-type]
                bad.send(sent)
                assert list(bad) == []


def test_without_the_runtime_it_says_how_to_get_it(bundle: Path) -> None:
    done = subprocess.run([DICTATE, "browser", "--comparison", bundle], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"dictate browser: {bundle}: no ONNX encoder; python convert/build.py --comparison {bundle}\n"
