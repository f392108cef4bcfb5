"""The size of the networks in a comparison: the one whose cost is nearest."""

from hypothesis import given
from hypothesis import strategies as st

from pcdarts.own_images.competitors import nearest

steps = st.lists(st.integers(0, 5), min_size=2, max_size=60)


@given(steps, st.integers(0, 200), st.integers(1, 60))
def test_the_nearest_cost_of_all_is_found_wherever_the_search_begins(
    increases: list[int], target: int, start: int
) -> None:
    costs = [sum(increases[: place + 1]) for place in range(len(increases))]
    found = nearest(lambda number: costs[number - 1], target, start=min(start, len(costs)), most=len(costs))
    assert abs(costs[found - 1] - target) == min(abs(cost - target) for cost in costs)
