"""A search under a budget, and `pcdarts show RUN --budget`."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from command_line import SEARCH, copy_of, done, refused, result_of, run_in
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.flags import read_flags
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.recipes import resolve
from pcdarts.config.yaml_files import read_yaml
from pcdarts.errors import InputError
from pcdarts.jobs.outcome.evaluation import EVALUATION_NETWORKS, SAME_DATA, network_of, training_command
from pcdarts.jobs.outcome.sizes import millions
from pcdarts.learn.job_batches import training_data
from pcdarts.learn.networks import make_network
from pcdarts.network.complexity import Complexity, complexity

SMALLEST = 137_344
"""Mult-adds of the network that the default recipe trains, with pools alone, for the images of `SEARCH`."""
BUDGET = "180k"
"""Which the best cell of `SEARCH` does not keep to."""


def listed(folder: Path, run: Path, *flags: str) -> list[dict]:
    return json.loads(done(folder, "show", str(run), "--budget", "--json", *flags))


def test_without_a_budget_the_best_cell_is_the_one_the_search_found(tmp_path: Path, finished_search: Path) -> None:
    rows = listed(tmp_path, finished_search)
    result = result_of(finished_search)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["genotype"] == result["genotype"]
    assert rows[0]["relative_product"] == 1
    assert [rows[0][name] for name in ("params", "mult_adds")] == [
        result["evaluation_network"][name] for name in ("params", "mult_adds")
    ]
    products = [row["relative_product"] for row in rows]
    assert products == sorted(products, reverse=True)
    assert result["budget"] is None


def test_a_budget_is_kept_by_every_cell_listed(tmp_path: Path, finished_search: Path) -> None:
    flags = ("--max-mult-adds", BUDGET, "--max-skips", "1", "--best", "8")
    rows = listed(tmp_path, finished_search, *flags)
    assert len({row["genotype"] for row in rows}) == 8
    assert all(row["mult_adds"] <= 180_000 and row["skips"] <= 1 for row in rows)
    printed = done(tmp_path, "show", str(finished_search), "--budget", *flags)
    assert "at most 0.18 M mult-adds and 1 skip-connections in the normal cell" in printed
    assert f"{millions(rows[7]['mult_adds'])}" in printed


def test_the_counts_are_those_of_the_network_asked_for(tmp_path: Path, finished_search: Path) -> None:
    (row,) = listed(
        tmp_path, finished_search, "--kind", "imagenet", "--channels", "8", "--image-size", "65", "--best", "1"
    )
    genotype = Genotype.from_text(row["genotype"])
    network = replace(EVALUATION_NETWORKS["imagenet"], channels=8, image_size=65, image_channels=1)
    size = network.complexity(genotype)
    assert (row["params"], row["mult_adds"]) == (size.params, size.mult_adds)


def command_after(printed: str, start: str = "next: ") -> TrainConfig:
    """The configuration of the training that a search has told its user to begin, as the command line reads it."""
    (line,) = [line for line in printed.splitlines() if start in line]
    verb, *arguments = shlex.split(line.split(start)[1])[1:]
    assert verb == "train"
    flags, problems = read_flags(TrainConfig, arguments)
    return resolve(TrainConfig, flags=flags, problems=problems)


def network_trained(config: TrainConfig, genotype: Genotype) -> Complexity:
    """What the network of a training counts, made of its own data."""
    data = training_data(config, torch.device("cpu"))
    network = make_network(config, genotype, data.num_classes, data.image_channels, data.image_size)
    return complexity(network, (data.image_channels, data.image_size, data.image_size))


@pytest.mark.parametrize(
    ("config_class", "flags"),
    [
        (SearchConfig, ""),
        (SearchConfig, "--kind stride2 --image-size 16 --network-channels 6 --no-flip"),
        (SearchConfig, "--data folder --image-size 11 --network-cells 4 --on-bad-image skip"),
        (SearchConfig, "--image-size 14 --network-image-size 20"),
        (RandomSearchConfig, "--data folder --image-size 11 --network-image-size 16"),
        (SearchConfig, "--data folder --image-size 33 --kind imagenet --train-images 20"),
        (SearchConfig, "--data folder --recipe cifar10 --image-size 9 --loading streaming"),
        (SearchConfig, "--data folder --recipe cifar10-small --image-size 9 --train-images 4000"),
        (SearchConfig, "--data folder --recipe imagenet --image-size 32 --num-cells 3"),
        (RandomSearchConfig, "--data folder --image-size 16 --kind stride4 --network-channels 6"),
    ],
)
def test_the_command_a_search_prints_trains_the_network_that_it_counted(
    config_class: type[SearchConfig], flags: str, colour_images: Path
) -> None:
    wanted = [*shlex.split(flags), *(["--data-root", str(colour_images)] if "folder" in flags else [])]
    config = resolve(config_class, flags=read_flags(config_class, wanted)[0])
    network = network_of(config, training_data(config, torch.device("cpu")))
    genotype = random_genotype(CellSpace(), 0)
    training = command_after(f"next: {training_command(Path('a run'), config, network)}")
    assert training.genotype == "a run"
    assert network_trained(training, genotype) == network.complexity(genotype)
    for name in SAME_DATA:
        wanted_here = config.network_image_size if name == "image_size" else None
        assert getattr(training, name) == (wanted_here or getattr(config, name))
    assert training.train_images == (config.train_images if config.data == "folder" else None)


def test_the_counts_of_a_search_are_those_of_the_network_that_its_last_line_trains(
    search_output: tuple[Path, str],
) -> None:
    run, printed = search_output
    size = result_of(run)["evaluation_network"]
    trained = network_trained(command_after(printed), Genotype.from_file(run / "genotype.json"))
    assert (size["params"], size["mult_adds"]) == (trained.params, trained.mult_adds)
    assert (size["channels"], size["num_cells"]) == (8, 5)
    shown = f"{millions(trained.params)} parameters, {millions(trained.mult_adds)} mult-adds (5 cells, 8 channels, "
    assert f"the network that will be trained with this cell: {shown}cifar stem, 8x8 images, 10 classes)" in printed


def test_a_cell_saved_from_a_list_is_trained_in_the_network_it_was_listed_for(
    tmp_path: Path, finished_search: Path
) -> None:
    flags = ("--channels", "6", "--kind", "stride2", "--image-size", "12", "--save", "best.json")
    printed = done(tmp_path, "show", str(finished_search), "--budget", *flags)
    (row,) = listed(tmp_path, finished_search, *flags[:-2], "--best", "1")
    size = network_trained(command_after(printed), Genotype.from_file(tmp_path / "best.json"))
    assert (row["params"], row["mult_adds"]) == (size.params, size.mult_adds)


def test_a_cell_listed_for_other_data_is_trained_on_other_data(tmp_path: Path, finished_search: Path) -> None:
    flags = ("--kind", "imagenet", "--save", "best.json")
    printed = done(tmp_path, "show", str(finished_search), "--budget", *flags)
    training = command_after(printed, "next, with --data and --data-root of images of 1000 classes: ")
    assert (training.channels, training.num_cells, training.image_size) == (48, 14, 224)


def test_any_cell_listed_can_be_saved_and_trained(tmp_path: Path, finished_search: Path) -> None:
    rows = listed(tmp_path, finished_search, "--rank", "3", "--save", "third.json")
    assert Genotype.from_file(tmp_path / "third.json").to_text() == rows[2]["genotype"]
    smaller = ["--train-images", "20", "--image-size", "8", "--channels", "4", "--num-cells", "3", "--epochs", "1"]
    assert "top-1 test error" in done(tmp_path, "train", "--genotype", "third.json", *smaller)


def test_nothing_is_overwritten(tmp_path: Path, finished_search: Path) -> None:
    (tmp_path / "mine.json").write_text("precious")
    line = refused(tmp_path, "show", str(finished_search), "--budget", "--save", "mine.json")
    assert line == "mine.json is there already, and nothing is overwritten: choose another --save"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--max-mult-adds", "100k"),
            f"max_mult_adds is 100000, but the smallest network that can be derived has {SMALLEST}",
        ),
        (("--rank", "0"), "rank is 0, but it must be at least 1"),
        (("--svg", "drawings"), "svg draws one cell"),
        (("--max-params", "many"), "max_params is many, but it must be a whole number"),
        (("--num-classes", "1"), "num_classes is 1, but a network needs at least 2"),
    ],
)
def test_what_cannot_be_listed_is_refused_in_one_line(
    tmp_path: Path, finished_search: Path, flags: tuple[str, ...], words: str
) -> None:
    assert words in refused(tmp_path, "show", str(finished_search), "--budget", *flags)


def test_the_flags_of_a_budget_need_it(tmp_path: Path, finished_search: Path) -> None:
    line = refused(tmp_path, "show", str(finished_search), "--max-skips", "1", "--best", "3")
    assert line == "best and max_skips: only with --budget, which lists the best cells of a search"


def test_only_a_finished_search_can_be_listed(
    tmp_path: Path, finished_train: Path, killed_search: Path, finished_search: Path
) -> None:
    assert "p_darts is no run folder" in refused(tmp_path, "show", "p_darts", "--budget")
    assert "configures the job train" in refused(tmp_path, "show", str(finished_train), "--budget")
    assert "is not finished: finish it with --resume" in refused(tmp_path, "show", str(killed_search), "--budget")
    run = copy_of(finished_search, tmp_path / "run")
    (run / "checkpoint.pt").unlink()
    assert "checkpoint.pt cannot be read" in refused(tmp_path, "show", "run", "--budget")
    (run / "result.json").write_text("{}")
    assert "does not say which network was counted" in refused(tmp_path, "show", "run", "--budget")


def test_a_search_under_a_budget_derives_the_best_cell_within_it(tmp_path: Path, finished_search: Path) -> None:
    (expected,) = listed(tmp_path, finished_search, "--max-mult-adds", BUDGET, "--best", "1")
    printed = done(tmp_path, *SEARCH, "--max-mult-adds", BUDGET, "--run", "run")
    result, free = result_of(tmp_path / "run"), result_of(finished_search)
    assert result["genotype"] == expected["genotype"] != free["genotype"]
    assert result["evaluation_network"]["mult_adds"] == expected["mult_adds"] <= 180_000
    assert result["budget"]["max_mult_adds"] == 180_000
    assert result["budget"]["relative_product"] == expected["relative_product"]
    assert result["budget"]["unconstrained"]["genotype"] == free["genotype"]
    assert result["budget"]["unconstrained"]["mult_adds"] == free["evaluation_network"]["mult_adds"]
    assert f"budget: at most 0.18 M mult-adds; without it {millions(free['evaluation_network']['params'])}" in printed
    assert listed(tmp_path, tmp_path / "run", "--best", "1") == [expected]  # the run's own budget
    assert read_yaml(tmp_path / "run" / "config.yaml", SearchConfig)["max_mult_adds"] == 180_000


def test_a_budget_that_changes_nothing_says_so(tmp_path: Path) -> None:
    printed = done(tmp_path, *SEARCH, "--epochs", "2", "--max-params", "1B", "--run", "run")
    assert "budget: at most 1000 M parameters; the best cell of all is within it" in printed
    assert result_of(tmp_path / "run")["budget"]["unconstrained"] is None


def test_an_impossible_budget_is_refused_before_the_search(tmp_path: Path) -> None:
    line = refused(tmp_path, *SEARCH, "--max-mult-adds", "100k")
    assert line.startswith(f"max_mult_adds is 100000, but the smallest network that can be derived has {SMALLEST}")


def test_a_plan_refuses_an_impossible_budget_too(tmp_path: Path) -> None:
    line = refused(tmp_path, *SEARCH, "--plan", "--max-mult-adds", "100k")
    assert line.startswith(f"max_mult_adds is 100000, but the smallest network that can be derived has {SMALLEST}")
    assert "(5 cells, 8 channels, cifar stem, 8x8 images, 10 classes): --network-channels, --network-cells" in line


def test_a_network_that_cannot_be_trained_afterwards_is_refused_before_the_search(tmp_path: Path) -> None:
    large = ("--kind", "imagenet", "--image-size", "32", "--network-channels", "7")
    assert "the ImageNet stem makes 7 channels" in refused(tmp_path, *SEARCH, *large)
    few = ("--kind", "imagenet", "--num-cells", "3", "--image-size", "31")
    assert "use 32 x 32 or larger" in refused(tmp_path, "random", *SEARCH[:1], *few)


@pytest.fixture
def begun_long_ago(tmp_path: Path, killed_search: Path) -> Path:
    """A search with a budget, killed, and begun when a search had no settings of its network."""
    run = Path(shutil.copytree(killed_search, tmp_path / "run"))
    lines = (run / "config.yaml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("network_", "max_params"))]
    (run / "config.yaml").write_text("\n".join([*kept, "max_params: 5300000", ""]))
    return run


def test_an_older_search_with_a_budget_is_asked_which_network_it_was_about(begun_long_ago: Path) -> None:
    line = refused(begun_long_ago.parent, "search", "--resume", "run")
    assert line == (
        "run was begun when a budget was about the paper's network; now it is about the one that will be trained: add "
        "--network-channels 36 --network-cells 20 for the former, or --network-channels 8 --network-cells 5 for that "
        "of the training recipe"
    )
    assert run_in(begun_long_ago.parent, "search", "--resume", "run", "--max-params", "none").code == 0


def test_an_older_search_with_a_budget_goes_on_once_its_network_is_named(begun_long_ago: Path) -> None:
    named = ("--network-channels", "36", "--network-cells", "20")
    printed = done(begun_long_ago.parent, "search", "--resume", "run", *named)
    size = result_of(begun_long_ago)["evaluation_network"]
    assert (size["channels"], size["num_cells"]) == (36, 20)
    assert "budget: at most 5.3 M parameters, for the network to be trained (20 cells, 36 channels" in printed
    assert command_after(printed).channels == 36


def test_a_search_is_resumed_with_another_budget(tmp_path: Path, killed_search: Path) -> None:
    run = Path(shutil.copytree(killed_search, tmp_path / "run"))
    assert run_in(tmp_path, "search", "--resume", "run", "--max-skips", "0").code == 0
    assert result_of(run)["budget"]["max_skips"] == 0
    assert result_of(run)["skip_connects"]["normal"] == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [("600M", 600_000_000), ("1.2B", 1_200_000_000), ("300k", 300_000), ("5.3m", 5_300_000), ("17", 17), (17, 17)],
)
def test_large_numbers_may_be_written_as_people_do(text: str | int, number: int) -> None:
    config = SearchConfig(max_params=text)
    assert config.max_params == number
    assert f"max_params: {number}\n" in config.to_yaml()


@pytest.mark.parametrize("text", ["0.0001k", "M", "600MM", "-5M", "0", "1.5", "9" * 40, "99999999999B", True])
def test_other_numbers_are_refused(text: object) -> None:
    with pytest.raises(InputError, match=r"^max_params is "):
        SearchConfig(max_params=text)
