"""The size of the networks in a comparison: the one whose cost is nearest."""

from hypothesis import given
from hypothesis import strategies as st

from pcdarts.own_images.competitors import nearest, scaled

steps = st.lists(st.integers(0, 5), min_size=2, max_size=60)


@given(steps, st.integers(0, 200), st.integers(1, 60))
def test_the_nearest_cost_of_all_is_found_wherever_the_search_begins(
    increases: list[int], target: int, start: int
) -> None:
    costs = [sum(increases[: place + 1]) for place in range(len(increases))]
    found = nearest(lambda number: costs[number - 1], target, start=min(start, len(costs)), most=len(costs))
    assert abs(costs[found - 1] - target) == min(abs(cost - target) for cost in costs)


def test_a_network_that_cannot_be_as_small_is_said_to_be_as_narrow_as_it_can_be() -> None:
    sizes = {"num_classes": 10, "image_channels": 1, "image_size": 8}
    found = scaled("shufflenet_v2_x0_5", sizes, (1, 8, 8), 10)
    assert found.said.startswith("as narrow as it can be, 0.0")
    assert "times its own width: 0.0" in found.said
    assert "M mult-adds beside 0.0000100 M of the run" in found.said
