"""Percentiles, ratios and the order of measuring."""

from __future__ import annotations

import pytest
from benchmark_reports import report
from hypothesis import given
from hypothesis import strategies as st

from device.bench import figures
from device.bench.figures import METRICS, across, by_repetition, interleaved, named, percentiles, pooled, ratio

times = st.floats(1e-6, 1e3)


@given(st.lists(times, min_size=1, max_size=300))
def test_percentiles_are_in_order_and_within_the_data(values: list[float]) -> None:
    found = percentiles(values)
    assert found
    assert min(values) <= found.p50 * (1 + 1e-12)
    assert found.p50 <= found.p95 * (1 + 1e-12) and found.p95 <= found.p99 * (1 + 1e-12)
    assert found.p99 <= found.max * (1 + 1e-12) and found.max == max(values)
    assert sum(value <= found.p50 * (1 + 1e-12) for value in values) >= len(values) / 2
    assert found.count == len(values)


def test_nothing_has_no_percentiles() -> None:
    assert percentiles([]) is None


@given(factor=times, drift=st.lists(times, min_size=1, max_size=8))
def test_drift_cancels_in_ratios(factor: float, drift: list[float]) -> None:
    """However fast each repetition ran, a case that takes `factor` times as long has just that ratio."""
    found = ratio({r: factor * d for r, d in enumerate(drift)}, dict(enumerate(drift)))
    assert found
    assert (found.median, found.least, found.greatest) == pytest.approx((factor, factor, factor))


@given(st.dictionaries(st.integers(0, 9), times), st.dictionaries(st.integers(0, 9), times))
def test_ratios_are_of_shared_repetitions_only(values: dict[int, float], baseline: dict[int, float]) -> None:
    found = ratio(values, baseline)
    shared = values.keys() & baseline.keys()
    assert (found is None) == (not shared)
    if found:
        assert found.least <= found.median <= found.greatest
        assert found.least in {values[r] / baseline[r] for r in shared}


@given(st.lists(times, min_size=1, max_size=9), st.lists(times, min_size=1, max_size=9))
def test_ratios_across_reports_spread_as_far_as_their_data(values: list[float], baseline: list[float]) -> None:
    found = across(values, baseline)
    assert found
    assert found.least <= found.median * (1 + 1e-9) and found.median <= found.greatest * (1 + 1e-9)


@given(items=st.lists(st.integers(), unique=True, min_size=1, max_size=12), repetitions=st.integers(1, 12))
def test_every_repetition_has_every_case_once(items: list[int], repetitions: int) -> None:
    rounds = interleaved(items, repetitions)
    assert len(rounds) == repetitions
    assert all(sorted(order) == sorted(items) for order in rounds)


@given(count=st.integers(2, 12))
def test_with_as_many_repetitions_as_cases_each_is_everywhere_once(count: int) -> None:
    rounds = interleaved(range(count), count)
    for place in range(count):
        assert {order[place] for order in rounds} == set(range(count))


def test_metrics_of_a_report() -> None:
    made = report({"slow": 0.02, "fast": 0.01, "whole": 0.03})
    cost = named("CPU s per s of speech")
    assert by_repetition(made, "slow", cost) == pytest.approx({1: 0.2, 2: 0.3, 3: 0.16})
    halved = ratio(by_repetition(made, "fast", cost), by_repetition(made, "slow", cost))
    assert halved and halved.median == pytest.approx(0.5)
    assert len(pooled(made, "slow", figures.late)) == 60 and not pooled(made, "whole", figures.late)
    assert by_repetition(made, "whole", named("latency p50, paced")) == {}
    assert all(by_repetition(made, "coral", metric) == {} for metric in METRICS)
