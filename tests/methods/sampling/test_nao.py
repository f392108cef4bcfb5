"""NAO: cells as codes and back, codes that move along the predictor's gradient, and the rounds of its population."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from enumerated import with_chance
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.data.streams import generator
from pcdarts.methods.method import At, Batch
from pcdarts.methods.sampling.cell_codes import CellCodes, Tokens
from pcdarts.methods.sampling.nao import NAO
from pcdarts.supernet.arch import Mixture
from small_space import SPACE as OTHER_SPACE

SPACE = CellSpace(4, form=CellForm(kinds=("normal",)), primitives=("none", "skip_connect", "sep_conv_3x3"))


class Convolutions:
    """A task in which each separable convolution of a cell takes 20 % of its error away."""

    def __init__(self) -> None:
        self.measured = list[int]()

    def arch_batch(self) -> Batch:
        return with_chance(0)

    def errors(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        self.measured.append(len(mixtures))
        return torch.tensor([self.error(mixture) for mixture in mixtures])

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        return 90 - 20 * float(mixture.op_weights["normal"][:, 2].sum())


def codes_of(space: CellSpace) -> CellCodes:
    torch.manual_seed(0)
    return CellCodes(space, hidden=24, predictor=16, dropout=0.1)


def convolutions(cell: Genotype) -> int:
    return sum(primitive == "sep_conv_3x3" for primitive, _ in cell.normal)


def nao(**settings: Any) -> NAO:
    torch.manual_seed(0)
    small = {"population": 12, "children": 5, "parents": 4, "round_epochs": 2, "code_size": 16, "predictor_size": 16}
    return NAO(SPACE, False, **small | {"code_epochs": 5, "code_batch_size": 6, "finalists": 2} | settings)


@given(st.integers(0, 10_000), st.sampled_from([SPACE, CellSpace(6), OTHER_SPACE]))
def test_a_cell_is_the_same_after_it_was_tokens(seed: int, space: CellSpace) -> None:
    tokens, cell = Tokens(space), random_genotype(space, seed)
    sequence = tokens.of([cell])
    assert tokens.cells(sequence) == [cell]
    before = torch.tensor([0])
    for slot, token in zip(tokens.slots, sequence[0], strict=True):
        assert tokens.allowed(slot, before)[0, token]
        before = token.view(1)


@pytest.mark.parametrize("space", [SPACE, CellSpace(5), OTHER_SPACE])
def test_whatever_is_decoded_is_a_cell_of_the_space(space: CellSpace) -> None:
    model = codes_of(space)
    codes = torch.nn.functional.normalize(torch.randn(20, len(model.tokens.slots), 24), dim=2)
    for cell in model.decode(codes):
        for kind in space.kinds:
            for target, edges in cell.entering(kind).items():
                sources = [source for _, source in edges]
                assert sources == sorted(set(sources))
                into = space.edges_into(target)
                assert all(space.primitives.index(name) in space.choices(into[source]) for name, source in edges)


def test_it_learns_to_copy_cells_and_how_good_they_are() -> None:
    torch.manual_seed(0)
    model = CellCodes(SPACE, hidden=64, predictor=16, dropout=0.1)
    cells = [random_genotype(SPACE, seed) for seed in range(6)]
    errors = [90.0 - 20 * convolutions(cell) for cell in cells]
    model.fit(cells, errors, generator(0), epochs=200, batch_size=6)
    codes = model.encode(model.tokens.of(cells))
    assert model.decode(codes) == cells
    best, worst = min(errors), max(errors)
    expected = torch.tensor([(worst - error) / (worst - best) for error in errors])
    assert (model.predict(codes) - expected).abs().max() < 0.25


def test_codes_move_along_the_gradient_of_the_prediction() -> None:
    model = codes_of(SPACE).double()
    codes = model.encode(model.tokens.of([random_genotype(SPACE, seed) for seed in range(3)])).detach().contiguous()
    numerical, h = torch.zeros_like(codes), 1e-6
    for place in range(codes[0].numel()):
        shift = torch.zeros_like(codes).flatten(1)
        shift[:, place] = h
        ahead, behind = (model.predict(codes + sign * shift.view_as(codes)) for sign in (1, -1))
        numerical.flatten(1)[:, place] = ((ahead - behind) / (2 * h)).detach()
    moved = model.moved(codes, 3.0)
    expected = torch.nn.functional.normalize(codes + 3.0 * numerical, dim=2)
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-7)
    assert (model.predict(moved) > model.predict(codes)).all()
    torch.testing.assert_close(moved.norm(dim=2), torch.ones(3, 4).double())


def test_new_cells_take_the_places_of_the_worst_ones() -> None:
    method, task = nao(), Convolutions()
    at = At(1, 0, 0, 1, 6)
    method.end_epoch(at, task, generator(0))  # type: ignore[arg-type]
    assert task.measured == [], "nothing before the first step"
    method.step(at, task, with_chance(0))  # type: ignore[arg-type]
    method.end_epoch(At(0, 0, 0, 0, 6), task, generator(0))  # type: ignore[arg-type]
    assert task.measured == [], "only at the end of a round"
    before = sorted(method.population, key=convolutions, reverse=True)
    method.end_epoch(at, task, generator(0))  # type: ignore[arg-type]
    assert task.measured == [12]
    kept = [cell for cell in method.population if cell in before]
    new = method.population[len(kept) :]
    assert kept == before[: len(kept)]
    assert len(new) == len(set(new)) == 12 - len(kept)
    assert 1 <= len(new) <= 5
    assert not set(new) & set(before)


def test_after_the_last_epoch_the_population_is_measured_and_its_best_are_compared() -> None:
    method, task = nao(), Convolutions()
    method.started, before = True, set(method.population)
    method.end_epoch(At(4, 0, 0, 4, 5), task, generator(0))  # type: ignore[arg-type]
    assert set(method.population) == before
    most = max(map(convolutions, before))
    assert convolutions(method.genotype(None, generator(0))) == most
    assert convolutions(method.genotype(task, generator(0))) == most  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["children", "parents"])
def test_there_are_not_more_children_or_parents_than_cells(name: str) -> None:
    small = {"population": 50, "children": 10, "parents": 10} | {name: 51}
    with pytest.raises(ConfigError, match=rf"^{name} is 51, but it must be at most population \(50\)$"):
        SearchConfig(method="nao", **small)
