"""What every search method must do, whichever paper it is from; `tiny_searches.py` has what each needs to be tiny."""

import math
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import method_steps
from command_line import (
    checkpoint_of,
    differences,
    done,
    end_of,
    leaves,
    metrics_of,
    pair,
    refused,
    result_of,
    run_in,
    same,
)
from made_runs import MadeOnce
from method_steps import float64, found_by
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.flags import read_flags
from pcdarts.config.groups.method_settings import METHOD_SETTINGS, beside_steps
from pcdarts.config.methods.recipes import PUBLISHED, SMALL
from pcdarts.config.recipes import resolve
from pcdarts.data.streams import generator
from pcdarts.learn import networks
from pcdarts.learn.job_batches import plain_batches, training_data
from pcdarts.learn.networks import make_method, make_supernet, method_with
from pcdarts.learn.splits import split_images
from pcdarts.learn.stages import stages_of
from pcdarts.learn.steps import SearchStep, search_setting
from pcdarts.methods.method import At
from pcdarts.methods.methods import METHODS
from pcdarts.methods.paths import path_of
from pcdarts.run.processes import ALONE as ONE_PROCESS
from pcdarts.run.run_folder import RunFolder
from tiny_searches import TINY, tiny_search

EXACT = 1e-12
"""Largest difference of anything learnt in float64."""


@pytest.fixture(scope="module", params=[*METHODS])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def observed(method: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """An undisturbed search with K = 2 and edge normalisation, and what it asked its task for between its steps."""
    folder, asked = tmp_path_factory.mktemp(method), set()

    class Observed:
        def __init__(self, task: Any) -> None:
            self.task = task

        def __getattr__(self, name: str) -> Any:
            asked.update({name} & {"error", "errors", "losses", "gradients", "jacobian"})
            return getattr(self.task, name)

    parts = {
        "end_epoch": lambda do: lambda at, task, chance: do(at, Observed(task), chance),
        "genotype": lambda do: lambda task, chance: do(task and Observed(task), chance),
    }
    with changed(method, parts):
        done(folder, *searching(method))
    return folder / "run", asked


@pytest.fixture(scope="module")
def whole(observed: tuple[Path, set[str]]) -> Path:
    return observed[0]


@pytest.fixture(scope="module")
def by_two(once: MadeOnce) -> Path:
    """What each of two processes that share the batches finds by all methods, made by one worker for all workers."""

    def make(folder: Path) -> None:
        for started in pair(folder, str(folder), *METHODS, code=Path(method_steps.__file__).read_text()):
            ended = end_of(started)
            assert (ended.code, ended.err) == (0, "")

    return once("methods by two processes", make)


# What it says of itself


def test_every_method_has_settings_a_line_of_help_and_two_recipes() -> None:
    assert list(METHODS) == list(METHOD_SETTINGS)
    others = [name for name in METHODS if name != "darts"]  # whose recipes are those of the paper
    assert sorted(PUBLISHED) == sorted(SMALL) == sorted(others)
    assert set(TINY) <= set(METHODS)
    for settings in METHOD_SETTINGS.values():
        line = str(settings.__doc__).splitlines()[0]
        assert line.endswith(")"), "the paper stands in brackets"
        assert line[0].islower() or line.split()[0].isupper()


@pytest.mark.parametrize("recipe", [name + size for name in PUBLISHED for size in ("", "-small")])
def test_a_recipe_of_a_method_is_a_search_by_it_with_stages_that_fit(recipe: str) -> None:
    config = resolve(SearchConfig, flags={"recipe": recipe})
    assert (config.method, config.recipe) == (recipe.removesuffix("-small"), recipe)
    stages = stages_of(config, make_method(config, CellSpace(config.num_nodes)).stages())
    assert all(stage.first_arch_epoch <= stage.end for stage in stages)


# A search by it


def test_a_search_ends_with_a_cell_of_the_common_form(whole: Path) -> None:
    genotype = Genotype.from_file(whole / "genotype.json")
    for kind in genotype.kinds:
        for edges in genotype.entering(kind).values():
            assert len(edges) == 2
            assert all(primitive != "none" for primitive, _ in edges)
    assert result_of(whole)["genotype"] == genotype.to_text()
    records = metrics_of(whole)
    assert [record["epoch"] for record in records] == [*range(1, len(records) + 1)]
    losses = [value for record in records for name, value in record.items() if name.endswith("loss")]
    assert all(map(math.isfinite, losses))


ALONE = "of the cell alone in the supernet, with the statistics of each batch"


def test_the_error_at_the_end_is_of_the_cell_alone_where_weights_learn_under_draws(method: str, whole: Path) -> None:
    result, printed = result_of(whole), (whole / "log.txt").read_text().splitlines()
    alone = method in ("gdas", "proxyless", "snas", "parsec", "random-ws", "evolution", "enas", "pnas", "nao", "te-nas")
    said = f"top-1 error {result['arch_top1_error']:.2f} % on the arch split"
    assert (f"{said}, {ALONE}" if alone else said) in printed
    assert result.get("arch_error_of") == (ALONE.removeprefix("of ") if alone else None)
    if alone:
        assert result["arch_top1_error"] == error_of_cell(whole, Genotype.from_text(result["genotype"]))


def error_of_cell(run: Path, genotype: Genotype) -> float:
    """In %, on the arch split, computed from a finished run with nothing but its operations that the cell has."""
    config = resolve(SearchConfig, file=run / "config.yaml")
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    space, data = CellSpace(config.num_nodes), training_data(config, torch.device("cpu"))
    _, images = split_images(config, data, RunFolder(run), ONE_PROCESS)
    method = make_method(config, space)
    method.load_state_dict(saved["state"]["method"])
    network = make_supernet(config, space, data.num_classes, data.image_channels)
    network.load_state_dict(saved["state"]["supernet"])
    path = path_of(genotype, space, method.mixture().detach().edge_weights)
    batches, wrong = plain_batches(images, data.mean, data.std, config.batch_size, torch.device("cpu")), 0
    for number, (batch, labels) in enumerate(batches.epoch(0)):
        masks = network.draw_masks(generator(config.seed, "masks", "error", number))
        wrong += int((network(batch, path, masks).argmax(dim=1) != labels).sum())
    return 100 * wrong / len(images)


def test_a_search_stopped_in_a_step_between_epochs_and_at_its_end_is_the_one_that_was_not(
    method: str, whole: Path, tmp_path: Path
) -> None:
    epochs = len(metrics_of(whole))
    stops = [("draws", epochs // 2), ("end_epoch", epochs - 1), ("genotype", epochs)]
    with interrupted(method, *stops[0]):
        assert run_in(tmp_path, *searching(method), "--checkpoint-minutes", "1e-9").code == 130
    place = checkpoint_of(tmp_path / "run")
    assert (place["/state/place/epoch"], place["/state/place/step"]) == (epochs // 2, 1)
    for stop in stops[1:]:
        with interrupted(method, *stop):
            assert run_in(tmp_path, "search", "--resume", "run").code == 130
    done(tmp_path, "search", "--resume", "run")
    assert differences(tmp_path / "run", whole) == []


def test_all_channels_a_plain_sum_over_edges_parts_of_batches_and_a_budget(method: str, tmp_path: Path) -> None:
    flags = [*tiny_search(method), *shlex.split("--no-edge-normalization --gradient-accumulation-steps 2 --run run")]
    learns_at_once = "--warmup-epochs 0" if method == "proxyless" else ""
    flags += shlex.split(f"--epochs 1 --arch-frozen-epochs 0 {learns_at_once}")
    flags[flags.index("--k") + 1] = "1"
    if METHOD_SETTINGS[method].has_budgets:
        done(tmp_path, *flags, "--max-skips", "0", "--max-mult-adds", "2M")
        network = result_of(tmp_path / "run")["evaluation_network"]
        assert result_of(tmp_path / "run")["skip_connects"]["normal"] == 0
        assert network["mult_adds"] <= 2e6
    else:
        line = refused(tmp_path, *flags, "--max-skips", "0")
        why = "finds cells by the priors of its switches" if method == "bayesnas" else "finds whole cells"
        assert line == (
            f"max_skips limits the cells that a method weighs operation by operation, and {method} {why}: drop it, or "
            "use method darts"
        )
        done(tmp_path, *flags)
    assert Genotype.from_file(tmp_path / "run" / "genotype.json").kinds == ("normal", "reduce")


def test_two_processes_find_what_one_finds(method: str, by_two: Path) -> None:
    with float64():
        alone = dict(leaves("", found_by(method, ONE_PROCESS)))
    first, other = (dict(leaves("", torch.load(by_two / f"{rank}.pt", weights_only=True)[method])) for rank in (0, 1))
    assert alone.keys() == first.keys() == other.keys()
    for path, value in alone.items():
        assert same(first[path], other[path]), path
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(first[path], value, rtol=0, atol=EXACT, msg=path)
        else:
            assert same(first[path], value), path


def test_two_processes_search_in_stages_over_the_same_weights(tmp_path: Path) -> None:
    flags = [*tiny_search("pnas"), *shlex.split("--epochs 1 --arch-frozen-epochs 0 --run run")]
    for ended in map(end_of, pair(tmp_path, *flags)):
        assert (ended.code, ended.err) == (0, "")
    assert len(metrics_of(tmp_path / "run")) == 2
    assert Genotype.from_file(tmp_path / "run" / "genotype.json").to_text() == result_of(tmp_path / "run")["genotype"]


def test_a_plan_can_measure_a_step(method: str) -> None:
    arguments = tiny_search(method)[1:]
    config = resolve(SearchConfig, flags=flags_of(arguments))
    setting = search_setting(config, batch_size=4, image_size=8, image_channels=1, num_classes=10)
    step = SearchStep(setting)
    before = [weight.detach().clone() for weight in step.network.parameters()]
    step.search_step()
    step.forward_backward()
    moved = any(not torch.equal(*pair) for pair in zip(before, step.network.parameters(), strict=True))
    assert moved == draws_something(step)


def draws_something(step: SearchStep) -> bool:
    weight_batch, _ = step.data()
    return bool(step.method.draws(At(0, 0, 0, 0, 1), step.task, weight_batch))


def flags_of(arguments: list[str]) -> dict[str, Any]:
    flags, problems = read_flags(SearchConfig, arguments)
    assert problems == []
    return flags


def test_a_plan_says_what_the_method_does_besides_the_steps_it_measures(
    method: str, observed: tuple[Path, set[str]]
) -> None:
    _, asked = observed
    config = resolve(SearchConfig, flags=flags_of(tiny_search(method)[1:]))
    assert bool(asked) == bool(beside_steps(config)), f"it asked for {asked} between its steps"


def searching(method: str) -> list[str]:
    return [*tiny_search(method), *shlex.split("--channel-sampling random --run run")]


@contextmanager
def interrupted(method: str, part: str, epoch: int) -> Iterator[None]:
    """Searches by a method are interrupted at the end of one of its parts, in an epoch counted from 0.

    `draws` ends in the middle of the second step, when the method's own is done; `genotype` is asked for in the end.
    """

    def until_then(do: Any) -> Any:
        def done_or_interrupted(at: Any, *more: Any) -> Any:
            found = do(at, *more)
            if at is not None and (part == "genotype" or (at.epoch, at.step) == (epoch, 1)):
                raise KeyboardInterrupt
            return found

        return done_or_interrupted

    with changed(method, {part: until_then}):
        yield


@contextmanager
def changed(method: str, parts: dict[str, Callable[[Any], Any]]) -> Iterator[None]:
    """Meanwhile each of these parts of a method is what a function makes of it."""

    def make(name: str, *arguments: Any) -> Any:
        made = method_with(name, *arguments)
        assert name == method
        for part, change in parts.items():
            setattr(made, part, change(getattr(made, part)))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "method_with", make)
        yield
