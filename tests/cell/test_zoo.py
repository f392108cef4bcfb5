import pytest

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.zoo import PUBLISHED, published, published_name
from pcdarts.errors import InputError


def test_the_published_cells_are_those_of_the_contract() -> None:
    assert set(PUBLISHED) == {
        "pc_darts_cifar10",
        "pc_darts_imagenet",
        "darts_v1",
        "darts_v2",
        "p_darts",
        "nasnet_a",
        "amoebanet_a",
        "amoebanet_b",
        "amoebanet_c",
        "pnasnet_5",
        "enas",
        "naonet_ws",
        "snas_mild",
        "snas_moderate",
        "snas_aggressive",
        "bayesnas_cifar10",
        "bayesnas_imagenet",
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_cell_survives_both_written_forms(name: str) -> None:
    genotype = published(name)
    assert Genotype.from_text(genotype.to_text()) == genotype
    assert Genotype.from_json(genotype.to_json()) == genotype


@pytest.mark.parametrize("name", ["pc_darts_cifar10", "pc_darts_imagenet", "darts_v1", "darts_v2", "p_darts"])
def test_the_searched_cells_have_four_intermediate_nodes_that_all_reach_the_output(name: str) -> None:
    genotype = published(name)
    for kind in ("normal", "reduce"):
        assert genotype.num_nodes(kind) == 6
        assert genotype.concat(kind) == (2, 3, 4, 5)


def test_the_older_cells_have_five_intermediate_nodes() -> None:
    for name in ("nasnet_a", "amoebanet_a"):
        assert published(name).num_nodes("normal") == published(name).num_nodes("reduce") == 7
    assert published("nasnet_a").reduce_concat == published("amoebanet_a").normal_concat == (4, 5, 6)
    assert published("amoebanet_a").reduce_concat == (3, 4, 6)


ENAS_NUMBERS = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"
NAONET_NUMBERS = "0 1 0 2 0 1 2 2 1 3 0 2 4 0 1 3 2 1 0 3 1 1 1 0 2 1 2 4 1 0 2 3 3 1 2 2 0 2 0 2"


@pytest.mark.parametrize(("name", "numbers"), [("enas", ENAS_NUMBERS), ("naonet_ws", NAONET_NUMBERS)])
def test_a_cell_that_was_published_as_numbers_is_what_they_say(name: str, numbers: str) -> None:
    """(input, operation) twice for each node, the normal cell first; the output is what no node reads."""
    operations = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
    said = [int(number) for number in numbers.split()]
    edges = [(operations[operation], source) for source, operation in zip(said[::2], said[1::2], strict=True)]
    for kind, expected in (("normal", edges[:10]), ("reduce", edges[10:])):
        found = published(name).edges(kind)
        pairs = [sorted(found[node : node + 2]) for node in range(0, 10, 2)]
        assert pairs == [sorted(expected[node : node + 2]) for node in range(0, 10, 2)]
        assert published(name).concat(kind) == tuple(sorted({2, 3, 4, 5, 6} - {source for _, source in expected}))


def test_a_sum_of_many_operations_is_written_with_nodes_that_the_output_leaves_out() -> None:
    reduce = published("bayesnas_cifar10").entering("reduce")
    first = (*reduce[2], *reduce[3][1:], *reduce[4])
    assert [source for _, source in first] == [1, 1, 1, 0, 0]
    operations = ["sep_conv_3x3", "sep_conv_5x5", "max_pool_3x3", "avg_pool_3x3", "max_pool_3x3"]
    assert [primitive for primitive, _ in first] == operations
    assert reduce[3][0] == ("skip_connect", 2)
    assert reduce[5] == (("skip_connect", 3), ("skip_connect", 4))
    assert published("bayesnas_cifar10").concat("reduce") == (5, 7, 8, 10)


def test_the_pc_darts_cells_are_those_of_figure_2() -> None:
    """Sec. 4.2: the ImageNet normal cell is deeper than the CIFAR-10 one, whose nodes all read the inputs alone."""
    assert {source for _, source in published("pc_darts_cifar10").normal} == {0, 1}
    assert published("pc_darts_imagenet").normal[-1] == ("dil_conv_5x5", 4)
    assert published("pc_darts_cifar10").to_text() == (
        "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), "
        "('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], "
        "normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), "
        "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], "
        "reduce_concat=range(2, 6))"
    )


@pytest.mark.parametrize("name", ["PC-DARTS-CIFAR10", "pc_darts_cifar10", "Pc Darts_Cifar10", " pc-darts_CIFAR10\n"])
def test_capitals_dashes_and_spaces_in_a_name_do_not_matter(name: str) -> None:
    assert published(name) is PUBLISHED["pc_darts_cifar10"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *(("NASNet", "nasnet_a"), ("AmoebaNet", "amoebanet_a"), ("PDARTS", "p_darts"), ("p-darts", "p_darts")),
        *(("DARTS_V1", "darts_v1"), ("DARTS_V2", "darts_v2"), ("DARTS", "darts_v2"), ("darts", "darts_v2")),
        *(("PCDARTS", "pc_darts_cifar10"), ("PC-DARTS", "pc_darts_cifar10"), ("pcdarts_cifar10", "pc_darts_cifar10")),
        *(("PC_DARTS_cifar", "pc_darts_cifar10"), ("PC_DARTS_image", "pc_darts_imagenet")),
    ],
)
def test_the_names_in_the_authors_scripts_are_known(theirs: str, ours: str) -> None:
    assert published(theirs) is PUBLISHED[ours]
    assert published_name(theirs) == ours


def test_an_unknown_name_is_refused_with_the_closest_one_and_all_of_them() -> None:
    for wrong, close in (
        ("pc_darts_cifra", "PC_DARTS_cifar"),
        ("PCDART", "PCDARTS"),
        ("DARTS_V3", "darts_v2"),
        ("AmobeaNet", "AmoebaNet"),
    ):
        with pytest.raises(InputError, match=rf"'{wrong}': did you mean '{close}'\?.*amoebanet_a.*PDARTS"):
            published(wrong)
    with pytest.raises(InputError, match="'efficientnet': use one of pc_darts_cifar10, "):
        published("efficientnet")
