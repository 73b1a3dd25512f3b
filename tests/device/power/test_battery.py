"""Hours from measured watts, and no hours without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.power.log import PowerLog, Sample
from device.power.report import ENOUGH_S, NotMeasured, hours, summarise

watts = st.floats(0.1, 20)
DICTATE = Path(sys.executable).with_name("dictate")


def log(idle: float | None, dictating: float | None, seconds: float = 100.0) -> list[Sample]:
    return [
        Sample(0.0, seconds, "ready", watts=idle),
        Sample(1.0, seconds, "listening", watts=dictating),
        Sample(2.0, seconds, "finalizing", watts=dictating),
        Sample(3.0, 1_000.0, "starting", watts=99.0),
    ]


@given(idle=watts, dictating=watts, duty=st.floats(0, 1), battery=st.floats(1, 200))
def test_hours_are_those_of_the_mean_power(idle: float, dictating: float, duty: float, battery: float) -> None:
    life = hours(summarise(log(idle, dictating)), battery, duty)
    assert life.hours == pytest.approx(battery / (duty * dictating + (1 - duty) * idle))
    assert battery / max(idle, dictating) <= life.hours * (1 + 1e-9)
    assert life.hours <= battery / min(idle, dictating) * (1 + 1e-9)


@given(idle=st.none() | watts, dictating=st.none() | watts, duty=st.floats(0, 1))
def test_a_state_that_counts_and_was_not_measured_is_refused(
    idle: float | None, dictating: float | None, duty: float
) -> None:
    needed = (duty > 0 and dictating is None) or (duty < 1 and idle is None)
    if needed:
        with pytest.raises(NotMeasured, match="no watts were measured while"):
            hours(summarise(log(idle, dictating)), 10.0, duty)
    else:
        assert hours(summarise(log(idle, dictating)), 10.0, duty).hours > 0


def test_too_short_a_measurement_is_refused() -> None:
    with pytest.raises(NotMeasured, match=r"only 10 s were measured while ready"):
        hours(summarise([*log(2.0, 3.0)[1:], Sample(9.0, 10.0, "ready", watts=2.0)]), 10.0, 0.5)
    assert ENOUGH_S > 10


@pytest.mark.parametrize(("battery", "duty"), [(0.0, 0.5), (-1.0, 0.5), (10.0, 1.5), (10.0, -0.1), (1.0, float("nan"))])
def test_nonsense_is_refused(battery: float, duty: float) -> None:
    with pytest.raises(NotMeasured, match="must be"):
        hours(summarise(log(2.0, 3.0)), battery, duty)


def test_the_command_computes_or_refuses(tmp_path: Path) -> None:
    command = [DICTATE, "power", "hours", "--dir", tmp_path, "--battery-wh", "12", "--duty", "0.5"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "no watts were measured" in refused.stderr and refused.stderr.count("\n") == 1
    written = PowerLog(tmp_path, 10**6, 2, 0.0)
    for sample in log(2.0, 4.0):
        written.add(sample)
    answered = subprocess.run(command, capture_output=True, text=True)
    assert answered.stdout.startswith("4.0 h from 12 Wh, dictating 50 % of the time: computed from 4.00 W dictating")
