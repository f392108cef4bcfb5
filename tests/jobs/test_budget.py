"""A search under a budget, and `pcdarts show RUN --budget`."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import SEARCH, copy_of, done, refused, result_of, run_in
from pcdarts.cell.genotype import Genotype
from pcdarts.config import SearchConfig
from pcdarts.errors import InputError
from pcdarts.job_config import read_yaml
from pcdarts.jobs.evaluation import EVALUATION_NETWORKS

SMALLEST = 7_447_104
"""Mult-adds of the evaluation network with pools alone, for the images of `SEARCH`."""


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
    flags = ("--max-mult-adds", "8M", "--max-skips", "1", "--best", "8")
    rows = listed(tmp_path, finished_search, *flags)
    assert len({row["genotype"] for row in rows}) == 8
    assert all(row["mult_adds"] <= 8_000_000 and row["skips"] <= 1 for row in rows)
    printed = done(tmp_path, "show", str(finished_search), "--budget", *flags)
    assert "at most 8 M mult-adds and 1 skip-connections in the normal cell" in printed
    assert f"{rows[7]['mult_adds'] / 1e6:.1f} M" in printed


def test_the_counts_are_those_of_the_network_asked_for(tmp_path: Path, finished_search: Path) -> None:
    (row,) = listed(
        tmp_path, finished_search, "--kind", "imagenet", "--channels", "8", "--image-size", "65", "--best", "1"
    )
    genotype = Genotype.from_text(row["genotype"])
    network = replace(EVALUATION_NETWORKS["imagenet"], channels=8, image_size=65, image_channels=1)
    size = network.complexity(genotype)
    assert (row["params"], row["mult_adds"]) == (size.params, size.mult_adds)


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
            ("--max-mult-adds", "1M"),
            f"max_mult_adds is 1000000, but the smallest network that can be derived has {SMALLEST}",
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
    (expected,) = listed(tmp_path, finished_search, "--max-mult-adds", "8M", "--best", "1")
    printed = done(tmp_path, *SEARCH, "--max-mult-adds", "8M", "--run", "run")
    result, free = result_of(tmp_path / "run"), result_of(finished_search)
    assert result["genotype"] == expected["genotype"] != free["genotype"]
    assert result["evaluation_network"]["mult_adds"] == expected["mult_adds"] <= 8_000_000
    assert result["budget"]["max_mult_adds"] == 8_000_000
    assert result["budget"]["relative_product"] == expected["relative_product"]
    assert result["budget"]["unconstrained"]["genotype"] == free["genotype"]
    assert result["budget"]["unconstrained"]["mult_adds"] == free["evaluation_network"]["mult_adds"]
    assert f"budget: at most 8 M mult-adds; without it {free['evaluation_network']['params'] / 1e6:.2f} M" in printed
    assert listed(tmp_path, tmp_path / "run", "--best", "1") == [expected]  # the run's own budget
    assert read_yaml(tmp_path / "run" / "config.yaml", SearchConfig)["max_mult_adds"] == 8_000_000


def test_a_budget_that_changes_nothing_says_so(tmp_path: Path) -> None:
    printed = done(tmp_path, *SEARCH, "--epochs", "2", "--max-params", "1B", "--run", "run")
    assert "budget: at most 1000 M parameters; the best cell of all keeps to it" in printed
    assert result_of(tmp_path / "run")["budget"]["unconstrained"] is None


def test_an_impossible_budget_is_refused_before_the_search(tmp_path: Path) -> None:
    line = refused(tmp_path, *SEARCH, "--max-mult-adds", "300k")
    assert line.startswith(f"max_mult_adds is 300000, but the smallest network that can be derived has {SMALLEST}")


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
