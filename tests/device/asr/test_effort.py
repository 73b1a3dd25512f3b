"""How wide the second pass searches, on made-up measurements."""

from hypothesis import given
from hypothesis import strategies as st

from device.asr.effort import BEAMS, FIRST, LITTLE, MOST, Budget


def test_a_fast_machine_soon_has_the_widest_beam_and_keeps_it() -> None:
    budget = Budget("auto")
    assert budget.beam == FIRST
    assert [budget.spent(0.05 * 5, 5.0) for _ in range(20)].count(True) == 1 and budget.beam == BEAMS[-1]


def test_a_slow_one_comes_down_step_by_step_and_stays_where_it_has_time() -> None:
    budget, beams = Budget("auto"), []
    for _ in range(20):
        budget.spent({8: 1.4, 4: 0.8, 2: 0.5, 1: 0.3}[budget.beam] * 5, 5.0)
        beams.append(budget.beam)
    assert beams[-1] == 1 and beams == sorted(beams, reverse=True) and 2 in beams


def test_one_slow_segment_is_no_slow_machine() -> None:
    budget = Budget("auto")
    assert not budget.spent(30.0, 5.0) and budget.beam == FIRST


def test_a_machine_that_is_idle_again_goes_back() -> None:
    budget = Budget("auto")
    for _ in range(10):
        budget.spent(5.0, 5.0)
    assert budget.beam == 1
    for _ in range(20):
        budget.spent(0.1, 5.0)
    assert budget.beam == BEAMS[-1]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), max_size=50))
def test_best_and_fast_never_change(spent: list[tuple[float, float]]) -> None:
    for effort, beam in (("best", BEAMS[-1]), ("fast", BEAMS[0])):
        budget = Budget(effort)  # type: ignore[arg-type]
        assert not any(budget.spent(*each) for each in spent) and budget.beam == beam


@given(st.floats(0.001, 1.0), st.floats(1.3, 3.0))
def test_it_does_not_swing_where_a_wider_beam_costs_at_most_three_times_as_much(greedy: float, factor: float) -> None:
    """Once a beam is found on a machine of steady speed, it stays."""
    budget = Budget("auto")
    cost = {beam: greedy * factor**index for index, beam in enumerate(BEAMS)}
    beams = []
    for _ in range(40):
        budget.spent(cost[budget.beam] * 4, 4.0)
        beams.append(budget.beam)
    assert len(set(beams[20:])) == 1
    assert cost[beams[-1]] <= MOST or beams[-1] == 1
    assert cost[beams[-1]] >= LITTLE or beams[-1] == BEAMS[-1]
