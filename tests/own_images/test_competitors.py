"""The size of the networks in a comparison: the one whose cost is nearest."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.config.compare_config import CompareConfig
from pcdarts.config.configs import TrainConfig
from pcdarts.jobs.test import Learnt
from pcdarts.network.network import Network
from pcdarts.own_images.competitors import competitors, nearest, scaled

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


def test_random_cells_beside_one_of_nasbench201_are_of_its_space() -> None:
    network = Network(random_genotype(NASBENCH201, 0), channels=4, num_cells=3, num_classes=3, auxiliary=False)
    learnt = Learnt(network, 8, ["ant", "bee", "wasp"], [0.5] * 3, [0.25] * 3, None, (None, None))
    training = TrainConfig(channels=4, num_cells=3, auxiliary=False)
    *_, one, other = competitors(CompareConfig(trained=Path("run"), random=2), training, learnt)
    cells = [Genotype.from_text(each.settings["genotype"]) for each in (one, other)]
    assert [cell.form for cell in cells] == [NASBENCH201.form] * 2
    assert network.genotype not in cells
