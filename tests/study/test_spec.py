"""A study in words: what its file may say, what is refused, and what the studies in the package describe."""

from pathlib import Path

import pytest
import yaml

from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.methods.recipes import SMALL, SMALL_VARIANTS
from pcdarts.config.recipes import recipe
from pcdarts.errors import InputError
from pcdarts.learn.networks import make_method
from pcdarts.learn.stages import stages_of
from pcdarts.study.grid import grid
from pcdarts.study.spec import BUILTIN, StudySpec, find_spec, folder_name
from pcdarts.study.study_run import KNOWN

SCALES = ("paper", "small", "smoke")
NOT_THERE = [("table3-imagenet", "small"), ("table3-imagenet", "smoke"), ("methods", "paper")]


def written(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text)
    return path


def problem_of(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        grid(StudySpec.from_file(written(folder, text)), folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in BUILTIN for scale in SCALES if (name, scale) not in NOT_THERE]
)
def test_every_study_of_the_package_describes_runs_that_can_begin(name, scale, tmp_path):
    folder, spec = find_spec(name, scale)
    cells = grid(spec, tmp_path)
    assert folder == name
    assert spec.scale == scale
    assert len(cells) == len(spec.methods) * (len(spec.settings) or 1) * len(spec.seeds)
    assert len({cell.folder for cell in cells}) == len(cells)
    assert {"random search", "random cells"} <= spec.methods.keys()
    assert (spec.note == "") == (scale == "paper")


@pytest.mark.parametrize("name", BUILTIN)
def test_a_study_reads_back_what_it_writes(name, tmp_path):
    _, spec = find_spec(name, "smoke" if name == "methods" else "paper")
    assert StudySpec.from_file(written(tmp_path, spec.to_yaml())) == spec


def test_at_the_papers_scale_pc_and_en_is_the_search_of_section_4_2(tmp_path):
    _, spec = find_spec("table3", None)
    cell = next(cell for cell in grid(spec, tmp_path) if cell.method == "PC and EN")
    assert cell.search_config == recipe(SearchConfig, "cifar10")
    assert cell.train_config == recipe(TrainConfig, "cifar10").model_copy(update={"genotype": str(cell.search.path)})
    assert spec.methods["PC and EN"].paper == ("2.57 ± 0.07 %",)


def test_table_3_switches_both_components_independently(tmp_path):
    _, spec = find_spec("table3", "small")
    searches = {cell.method: cell.search_config for cell in grid(spec, tmp_path) if cell.search_config}
    switches = {
        name: (config.k > 1, config.edge_normalization) for name, config in searches.items() if name != "random search"
    }
    assert switches == {
        "no PC, no EN": (False, False),
        "EN alone": (False, True),
        "PC alone": (True, False),
        "PC and EN": (True, True),
    }


@pytest.mark.parametrize("scale", ["small", "smoke"])
def test_the_study_of_methods_has_every_method_with_and_without_each_component(scale, tmp_path):
    _, spec = find_spec("methods", scale)
    searches = [cell for cell in grid(spec, tmp_path) if isinstance(cell.search_config, SearchConfig)]
    assert {cell.search_config.method for cell in searches} == METHOD_SETTINGS.keys()
    assert [*spec.methods] == ["darts", *SMALL, *SMALL_VARIANTS, "random search", "random cells"]
    for cell in searches:
        assert cell.method in (cell.search_config.method, *SMALL_VARIANTS)
    switches = {(cell.setting, cell.search_config.k > 1, cell.search_config.edge_normalization) for cell in searches}
    assert switches == {("neither", 0, 0), ("PC", 1, 0), ("EN", 0, 1), ("PC and EN", 1, 1)}
    for cell in searches[: len(spec.methods) * 4]:
        config = cell.search_config
        stages_of(config, make_method(config, CellSpace(config.num_nodes)).stages())


@pytest.mark.parametrize("scale", [None, "small", "smoke"])
def test_the_study_of_the_truth_searches_nas_bench_201_with_and_without_each_component_and_trains_nothing(
    scale, tmp_path
):
    cells = grid(find_spec("truth", scale)[1], tmp_path)
    assert not any(cell.trains for cell in cells)
    searches = [cell for cell in cells if cell.search_config]
    assert {cell.search_config.space for cell in searches} == {"nasbench201"}
    ours = [cell.search_config for cell in searches if cell.method != "random search" and cell.seed == 0]
    components = {(1, False), (2, False), (4, False), (1, True), (2, True), (4, True)}
    methods = {config.method for config in ours}
    assert methods == {"darts", "gaea", "gdas", "snas", "drnas", "random-ws", "enas", "evolution"}
    assert len(ours) == len(methods) * len(components)
    assert {(config.k, config.edge_normalization) for config in ours} == components


def test_a_row_for_every_method_keeps_what_is_said_of_one_alone(tmp_path):
    text = "methods: {METHOD: {search: {recipe: METHOD-small, epochs: 20}}, gdas: {search: {epochs: 21}}}"
    spec = StudySpec.from_file(written(tmp_path, text))
    assert spec.methods.keys() == {*SMALL, *SMALL_VARIANTS}
    assert spec.methods["gaea"].search == {"recipe": "gaea-small", "epochs": 20}
    assert spec.methods["gdas"].search == {"recipe": "gdas-small", "epochs": 21}


def test_an_evolution_of_trained_cells_is_a_row(tmp_path):
    row = "{cells: random search, random_search: {strategy: evolution, candidates: 12}}"
    (cell,) = grid(StudySpec.from_file(written(tmp_path, f"{{seeds: 1, methods: {{evolved: {row}}}}}")), tmp_path)
    assert (cell.search_config.strategy, cell.search_config.evolution()) == ("evolution", (6, 3, 0.05))


def test_table_4_has_the_papers_epochs_and_nodes_and_the_orders_of_darts(tmp_path):
    epochs = {
        cell.setting: cell.search_config.epochs for cell in grid(find_spec("table4-epochs", None)[1], tmp_path)[:15:5]
    }
    assert epochs == {"50 epochs": 50, "75 epochs": 75, "100 epochs": 100}
    nodes = grid(find_spec("table4-nodes", None)[1], tmp_path)
    assert [cell.search_config.num_nodes for cell in nodes if cell.method == "PC-DARTS"] == [5, 6, 7]
    assert {cell.search_config.second_order for cell in nodes if cell.method == "DARTS-v2"} == {True}
    assert {cell.search_config.second_order for cell in nodes if cell.method == "DARTS-v1"} == {False}
    sizes = [cell.train_config.genotype.count("', ") // 4 + 2 for cell in nodes if cell.method == "random cells"]
    assert sizes == [5, 6, 7]


def test_what_the_command_line_says_is_in_every_run(tmp_path):
    _, spec = find_spec("table4-epochs", "small")
    given = spec.given({"data": "folder", "data_root": "/images"}, KNOWN)
    configs = [config for cell in grid(given, tmp_path) for config, _ in cell.steps()]
    assert {(config.data, str(config.data_root)) for config in configs} == {("folder", "/images")}
    assert {config.epochs for config in configs if isinstance(config, SearchConfig)} == {10, 15, 20, 25}


def test_seeds_are_a_number_or_a_list(tmp_path):
    assert StudySpec.from_file(written(tmp_path, "methods: {A: {}}\nseeds: 4")).seeds == (0, 1, 2, 3)
    assert StudySpec.from_file(written(tmp_path, "methods: {A: {}}\nseeds: [7, 3]")).seeds == (7, 3)


def test_seeds_of_training_do_not_overlap(tmp_path):
    cells = grid(StudySpec.from_file(written(tmp_path, "methods: {A: {}}\nseeds: 2\ntrain_seeds: 3")), tmp_path)
    assert [(cell.train_config.seed, cell.train_config.seeds) for cell in cells] == [(0, 3), (3, 3)]


def test_random_cells_differ_between_seeds_and_settings(tmp_path):
    text = "methods: {R: {cells: random}}\nseeds: 3\nsettings: {a: {}, b: {}}"
    genotypes = [cell.train_config.genotype for cell in grid(StudySpec.from_file(written(tmp_path, text)), tmp_path)]
    assert len(set(genotypes)) == 6


def test_one_seed_of_the_whole_table_comes_first(tmp_path):
    cells = grid(find_spec("table3", "small")[1], tmp_path)
    assert [cell.seed for cell in cells] == [0] * 6 + [1] * 6 + [2] * 6


def test_a_scale_overrides_what_is_common_and_settings_as_a_whole(tmp_path):
    text = yaml.safe_dump(
        {
            "methods": {"A": {"search": {"k": 2}}},
            "search": {"epochs": 9},
            "settings": {"x": {}, "y": {}},
            "scales": {"small": {"search": {"epochs": 3, "arch_frozen_epochs": 1}, "settings": {"z": {}}}},
        }
    )
    spec = StudySpec.from_file(written(tmp_path, text), "small")
    assert list(spec.settings) == ["z"]
    assert spec.search == {"epochs": 3, "arch_frozen_epochs": 1}
    assert spec.methods["A"].search == {"k": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "methods is missing"),
        ("methods: {}", "methods is empty"),
        ("methods: [A]", "methods is ['A'], but it must be a mapping"),
        ("methods: {A: 3}", "methods: A is 3, but it must be a mapping"),
        ("methods: {A: {serch: {}}}", "methods: A: there is no setting serch: did you mean search?"),
        ("methods: {A: {search: {kk: 4}}}", "A: there is no setting kk"),
        ("methods: {A: {search: {k: 3}}}", "A: k is 3, but it must divide channels (8)"),
        ("methods: {A: {search: {seed: 3}}}", "seed of a run: the study gives them"),
        ("methods: {A: {}, a: {}}", "a needs a name of letters or digits"),
        ("methods: {'*': {}}", "* needs a name of letters or digits"),
        ("methods: {A: {paper: [a, b]}}", "A has 2 figures of the paper, not 1"),
        ("methods: {A: {}}\nseeds: 0", "seeds is 0"),
        ("methods: {A: {}}\nseeds: [1, 1]", "seeds is (1, 1), but it must be"),
        ("methods: {A: {}}\nseeds: [0, 1000000]", "different ones"),
        ("methods: {A: {cells: random, search: {num_nodes: 2}}}\nseeds: 1", "num_nodes is 2"),
        ('methods: {"A\\e[2J": {}}', "needs a name of letters or digits"),
        (f"methods: {{{'A' * 101}: {{}}}}", "needs a name of letters or digits"),
        ("methods: {A: {}}\nseeds: many", "seeds is many"),
        ("methods: {A: {}}\nsettings: {x: {train: {epochs: none}}}", "A, x: epochs is none, but it must be a whole"),
        ("methods: {A: {}}\nmethod: {}", "there is no setting method: did you mean methods?"),
        ("methods: {A: {}}\nscales: {small: {}}", "has scales: choose one with --scale small"),
        ("methods: {A: {}}\nscales: {huge: {}}", "scale huge is unknown: use paper, small or smoke"),
        ("methods: {A: {}}\ntrain:", "train is None, but it must be a mapping"),
        ("methods: {A: {search: {kk: 1}, train: {epoch: 1}}}", "there is no setting epoch"),
        ("methods: {A: *x}", "is not a study"),
        ("- A", "is not a study"),
    ],
)
def test_a_file_that_describes_no_study_is_refused_in_a_line_that_says_why(text, said, tmp_path):
    assert said in problem_of(tmp_path, text)


def test_unknown_names_and_scales_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="did you mean 'table3'"):
        find_spec("tabel3", None)
    own = written(tmp_path, "methods: {A: {}}")
    with pytest.raises(InputError, match="has no scale small: it has no scales: drop --scale"):
        find_spec(str(own), "small")
    with pytest.raises(InputError, match=r"cannot read the study .*none\.yaml"):
        find_spec(str(tmp_path / "none.yaml"), None)
    with pytest.raises(InputError, match="study table3-imagenet has no scale small: it has paper"):
        find_spec("table3-imagenet", "small")


def test_folders_are_named_in_letters_digits_and_dashes():
    assert folder_name("no PC, no EN") == "no-pc-no-en"
    assert folder_name("../../etc") == "etc"
    assert folder_name("K = 4") == "k-4"
