"""What systemd hears: on a real datagram socket, as it binds one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from device.system.sd_notify import Notifier, Watchdog


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, socket.socket]:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.settimeout(2)
    name = str(tmp_path / "notify") if request.param == "path" else f"@dictate-test-{os.getpid()}"
    server.bind("\0" + name[1:] if name.startswith("@") else name)
    request.addfinalizer(server.close)
    return name, server


def test_every_message_is_heard(manager: tuple[str, socket.socket]) -> None:
    name, server = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.ready("waiting for the button")
    assert server.recv(4_096) == b"READY=1\nSTATUS=waiting for the button"
    assert notifier.reloading()
    first, second = server.recv(4_096).split(b"\n")
    assert first == b"RELOADING=1" and second.startswith(b"MONOTONIC_USEC=")
    assert notifier.alive() and server.recv(4_096) == b"WATCHDOG=1"
    assert notifier.status("listening") and server.recv(4_096) == b"STATUS=listening"
    assert notifier.stopping() and server.recv(4_096) == b"STOPPING=1"


def test_without_systemd_nothing_is_sent() -> None:
    assert not Notifier({}).ready("ready")


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


def pings(environ: dict[str, str], moments: list[float]) -> list[float]:
    sent: list[float] = []
    clock = iter(moments)
    now = 0.0

    def tick() -> float:
        nonlocal now
        now = next(clock)
        return now

    watchdog = Watchdog(environ, lambda: sent.append(now), tick)
    for _ in moments:
        watchdog.progress()
    return sent


def test_pings_come_four_times_a_period_and_only_with_progress() -> None:
    environ = {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    assert pings(environ, [i / 10 for i in range(100)]) == [0, 2, 4, 6, 8]
    assert pings(environ, [0.0, 30.0]) == [0.0, 30.0]


def test_another_process_s_watchdog_is_not_ours() -> None:
    assert pings({"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}, [0.0]) == []
    assert pings({}, [0.0]) == []
