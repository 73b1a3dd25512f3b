"""Starts a headless Chromium with WebGPU, for the benchmark and the tests."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--enable-unsafe-webgpu",  # Linux and software adapters are behind it
    "--enable-features=Vulkan",
)
SOFTWARE = ("--use-vulkan=swiftshader", "--use-webgpu-adapter=swiftshader")
"""The adapter that Chromium carries itself, for machines without a GPU."""


def found() -> str | None:
    """The program, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def has_gpu(dri: Path = Path("/dev/dri")) -> bool:
    """Whether the kernel has a device to render with."""
    return any(dri.glob("renderD*"))


@contextmanager
def opened(program: str, address: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A headless Chromium that shows `address` while the block runs, with a profile of its own that is then removed."""
    with tempfile.TemporaryDirectory(prefix="dictate-chromium-", ignore_cleanup_errors=True) as profile:
        adapter = () if has_gpu() else SOFTWARE
        command = [program, *QUIET, *adapter, *options, f"--user-data-dir={profile}", address]
        # Its sandbox needs what containers often lack, and root may not use it; the page is our own.
        command.insert(1, "--no-sandbox")
        browser = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        try:
            yield browser
        finally:
            browser.send_signal(signal.SIGTERM)
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()


def _end_with_parent() -> None:
    """However the parent ends, this process gets SIGTERM: PR_SET_PDEATHSIG of prctl(2)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
