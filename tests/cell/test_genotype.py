import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import OPERATIONS, PRIMITIVES
from pcdarts.errors import InputError

PRINTED = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('max_pool_3x3', 0), ('dil_conv_5x5', 2)], "
    "normal_concat=range(2, 4), reduce=[('avg_pool_3x3', 0), ('avg_pool_3x3', 1)], reduce_concat=[2])"
)
GENOTYPE = Genotype(
    normal=(("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 0), ("dil_conv_5x5", 2)),
    normal_concat=(2, 3),
    reduce=(("avg_pool_3x3", 0), ("avg_pool_3x3", 1)),
    reduce_concat=(2,),
)


def with_normal(edges: Any, concat: Any = (2, 3)) -> Genotype:
    return Genotype(edges, concat, GENOTYPE.reduce, GENOTYPE.reduce_concat)


@st.composite
def cells(draw: st.DrawFn) -> tuple[tuple[tuple[str, int], ...], tuple[int, ...]]:
    nodes = range(2, 2 + draw(st.integers(1, 6)))
    edges = tuple((draw(st.sampled_from(OPERATIONS)), draw(st.integers(0, node - 1))) for node in nodes for _ in "ab")
    concat = draw(st.lists(st.sampled_from(nodes), unique=True, min_size=1))
    return edges, tuple(concat)


genotypes = st.builds(lambda normal, reduce: Genotype(*normal, *reduce), cells(), cells())


def test_the_edges_concat_and_node_count_of_each_kind_are_those_given() -> None:
    assert GENOTYPE.edges("normal") == GENOTYPE.normal
    assert GENOTYPE.edges("reduce") == GENOTYPE.reduce
    assert GENOTYPE.concat("normal") == (2, 3)
    assert GENOTYPE.concat("reduce") == (2,)
    assert (GENOTYPE.num_nodes("normal"), GENOTYPE.num_nodes("reduce")) == (4, 3)


def test_lists_and_ranges_are_kept_as_tuples_so_that_equal_genotypes_are_equal_and_hashable() -> None:
    lists = Genotype(
        normal=[list(edge) for edge in GENOTYPE.normal],  # type: ignore[arg-type]
        normal_concat=range(2, 4),  # type: ignore[arg-type]
        reduce=list(GENOTYPE.reduce),  # type: ignore[arg-type]
        reduce_concat=[2],  # type: ignore[arg-type]
    )
    assert lists == GENOTYPE
    assert hash(lists) == hash(GENOTYPE)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("sep_conv_3x4", 1), ("skip_connect", 0)], "normal cell, node 2: unknown primitive.*mean 'sep_conv_3x3'"),
        ([("none", 1), ("none", 0), ("none", 1), ("skip_connect", 2)], "normal cell: only 'none' leads to its output"),
        ([("skip_connect", 1), ("skip_connect", 3)], "normal cell, node 2: takes input from node 3.*0 to 1"),
        ([("skip_connect", 1), ("skip_connect", 2)], "normal cell, node 2: takes input from itself"),
        ([("skip_connect", -1), ("skip_connect", 0)], "normal cell, node 2: takes input from node -1"),
        ([("skip_connect", 1)], "normal cell: 1 edges, but every intermediate node takes two"),
        ([("skip_connect", 1)] * 5, "normal cell: 5 edges"),
        ([], "normal cell: 0 edges"),
        ([("skip_connect", 0)] * 1000, "normal cell: too long"),
        ([("skip_connect", "1"), ("skip_connect", 0)], "node 2: an input node is a whole number, not '1'"),
        ([("skip_connect", 1.0), ("skip_connect", 0)], "node 2: an input node is a whole number, not 1.0"),
        ([("skip_connect", True), ("skip_connect", 0)], "node 2: an input node is a whole number, not True"),
        ([(3, 1), ("skip_connect", 0)], "node 2: a primitive is a name such as 'sep_conv_3x3', not 3"),
        ([("skip_connect",), ("skip_connect", 0)], r"node 2: an edge is a pair \(primitive, input node\)"),
        (["ab", "cd"], "node 2: an edge is a pair"),
        ([(["skip_connect"], 0), ("skip_connect", 0)], "node 2: a primitive is a name"),
        ("skip_connect", "normal cell: expected a list, not 'skip_connect'"),
        (None, "normal cell: expected a list, not None"),
    ],
)
def test_a_cell_with_a_wrong_edge_is_refused_by_cell_and_node(edges: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        with_normal(edges)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("concat", "message"),
    [
        ((), "normal cell, concat: empty"),
        ((2, 4), "normal cell, concat: names node 4: use the intermediate nodes, 2 to 3"),
        ((1, 2, 3), "normal cell, concat: names input node 1"),
        ((-1,), "normal cell, concat: names node -1"),
        ((2, 2), "normal cell, concat: names node 2 twice"),
        (("2",), "normal cell, concat: a node is a whole number, not '2'"),
        ((2.0,), "normal cell, concat: a node is a whole number, not 2.0"),
        ((True,), "normal cell, concat: a node is a whole number, not True"),
        (range(2, 10**40), "normal cell, concat: too long"),
        (2, "normal cell, concat: expected a list, not 2"),
    ],
)
def test_a_cell_with_a_wrong_concatenation_is_refused(concat: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_normal(GENOTYPE.normal, concat)


def test_a_fault_in_the_reduction_cell_names_the_reduction_cell() -> None:
    with pytest.raises(InputError, match="reduce cell, node 2: takes input from node 7"):
        Genotype(GENOTYPE.normal, GENOTYPE.normal_concat, (("skip_connect", 0), ("skip_connect", 7)), (2,))


def test_one_source_may_feed_a_node_twice_and_a_node_may_stay_out_of_the_output() -> None:
    genotype = with_normal((("avg_pool_3x3", 0), ("avg_pool_3x3", 0), ("skip_connect", 0), ("skip_connect", 1)), (3,))
    assert genotype.normal_concat == (3,)


def test_every_operation_may_stand_in_a_genotype_and_none_beside_another() -> None:
    assert set(PRIMITIVES) - set(OPERATIONS) == {"none"}
    for primitive in OPERATIONS:
        assert with_normal([(primitive, 0), (primitive, 1)], (2,)).normal[0] == (primitive, 0)
        assert with_normal([(primitive, 0), ("none", 1)], (2,)).normal[1] == ("none", 1)


def test_a_node_may_carry_nothing_as_long_as_the_output_does() -> None:
    edges = [("none", 0), ("none", 1), ("skip_connect", 0), ("none", 2)]
    assert with_normal(edges, (2, 3)).normal_concat == (2, 3)
    with pytest.raises(InputError, match="normal cell: only 'none' leads to its output, which would be zeros"):
        with_normal(edges, (2,))


@given(genotypes)
@settings(max_examples=40)
def test_the_printed_form_reads_back_as_the_same_genotype(genotype: Genotype) -> None:
    assert Genotype.from_text(genotype.to_text()) == genotype


@given(genotypes)
@settings(max_examples=40)
def test_the_json_form_reads_back_as_the_same_genotype(genotype: Genotype) -> None:
    assert Genotype.from_json(genotype.to_json()) == genotype


def test_json_has_the_four_fields_in_order_and_one_edge_a_line() -> None:
    text = GENOTYPE.to_json()
    assert list(json.loads(text)) == ["normal", "normal_concat", "reduce", "reduce_concat"]
    assert '\n    ["dil_conv_5x5", 2]\n' in text


def test_the_printed_form_is_the_one_the_authors_print() -> None:
    assert GENOTYPE.to_text() == PRINTED.replace("[2])", "range(2, 3))")


@pytest.mark.parametrize(
    "text",
    [
        PRINTED,
        f"2019-07-01 12:00:00,123 genotype = {PRINTED}\n",
        f"PC_DARTS_cifar = {PRINTED}  # 2.57%, it's (good",
        f"from genotypes import Genotype\n\nbest = genotypes.{PRINTED}\n",
        PRINTED.replace(" ", ""),
        PRINTED.replace(", ", " ,\n\t"),
        PRINTED.replace("=", " = ").replace("'", '"'),
        PRINTED.replace("range(2, 4)", "(2, 3)"),
        PRINTED.replace("range(2, 4)", "range(2, 4, 1)").replace("[2]", "(2,)"),
        re.sub(r"\(('\w+', \d)\)", r"[\1]", PRINTED),
        re.sub(r"\w+=", "", PRINTED),
        PRINTED.replace("normal=", "", 1),
        PRINTED.replace("('max_pool_3x3'", "# the second node :-)\n('max_pool_3x3'"),
        PRINTED[:-1] + ",)",
    ],
)  # fmt: skip
def test_the_printed_form_is_read_in_any_of_its_spellings(text: str) -> None:
    assert Genotype.from_text(text) == GENOTYPE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no genotype"),
        ("Genotype", "holds no genotype"),
        ("MyGenotype(normal=[])", "holds no genotype"),
        (f"{PRINTED}\n{PRINTED}", "holds 2 genotypes: keep only the one you mean"),
        (PRINTED[:-1], "breaks off before its closing bracket"),
        (PRINTED.replace("'sep_conv_3x3'", "sep_conv_3x3"), "holds 'sep_conv_3x3': only quoted names"),
        (PRINTED.replace("'sep_conv_3x3'", "__import__('os').system('touch x')"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "list(range(2, 4))"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "range(2, stop=4)"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "[n for n in (2, 3)]"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "[*(2, 3)]"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "[1 + 1]"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "range(2, 4, 0)"), "is not a range of nodes"),
        (PRINTED.replace("range(2, 4)", "range()"), "is not a range of nodes"),
        (PRINTED.replace("range(2, 4)", "range('2', 4)"), "is not a range of nodes"),
        (PRINTED.replace("range(2, 4)", "range(2, 10**9)"), "only quoted names"),
        (PRINTED.replace("range(2, 4)", "range(2, 1000000000)"), "concat: too long"),
        (PRINTED.replace("range(2, 4)", "2"), "concat: expected a list, not 2"),
        (PRINTED.replace("('sep_conv_3x3', 1)", "'sep_conv_3x3', 1"), "normal cell"),
        (PRINTED.replace("normal_concat", "normal_conat"), "no 'normal_conat': did you mean 'normal_concat'"),
        (PRINTED.replace(", reduce_concat=[2]", ""), "lacks reduce_concat"),
        (PRINTED.replace("reduce_concat", "normal"), "'normal' twice"),
        (PRINTED.replace("Genotype(", "Genotype([], "), "'normal' twice"),
        (PRINTED.replace("normal=", "**", 1), r"no '\*\*'"),
        ("Genotype([], [], [], [], [])", "has 5 arguments"),
        (PRINTED.replace("1)", "1", 1), "breaks off"),
        (PRINTED.replace("'sep_conv_3x3', 1", "'sep_conv_3x3' 1 2"), "not well formed"),
        (PRINTED.replace("1)", "01)", 1), "not well formed"),
        (PRINTED.replace("1)", "-1)", 1), "takes input from node -1"),
    ],
)
def test_a_malformed_printed_form_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        Genotype.from_text(text)
    assert "\n" not in str(refusal.value)


def test_hostile_text_is_never_evaluated(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for attack in (f"open({str(trap)!r}, 'w')", f"[open({str(trap)!r}, 'w')]", f"range(2, open({str(trap)!r}, 'w'))"):
        with pytest.raises(InputError, match="only quoted names"):
            Genotype.from_text(PRINTED.replace("range(2, 4)", attack))
    assert not trap.exists()


HOSTILE = {
    "a text of a million characters": PRINTED + " " * 1_000_000,
    "thousands of nested brackets": f"Genotype({'[' * 5000}{']' * 5000})",
    "thousands of brackets left open": f"Genotype({'(' * 40_000}",
    "a long chain of signs": f"Genotype({'-' * 50_000}1)",
    "a long chain of additions": f"Genotype({'1+' * 40_000}1)",
    "a long chain of attributes": f"Genotype(a{'.a' * 40_000})",
    "an integer of thousands of digits": PRINTED.replace("1)", "9" * 20_000 + ")", 1),
    "a huge hexadecimal node": PRINTED.replace("1)", "0x" + "f" * 20_000 + ")", 1),
    "a huge hexadecimal range": PRINTED.replace("range(2, 4)", "range(2, 0x" + "f" * 20_000 + ")"),
    "a long string": PRINTED.replace("'sep_conv_3x3'", "'" + "x" * 50_000 + "'"),
    "a null character": PRINTED.replace("1)", "\0 1)", 1),
    "half a surrogate pair": PRINTED.replace("sep_conv_3x3", "\ud800", 1),
    "an odd escape": PRINTED.replace("sep_conv_3x3", r"\d\N{x}", 1),
    "bytes and an ellipsis": PRINTED.replace("'sep_conv_3x3', 1", "b'x', ...", 1),
    "an f-string": PRINTED.replace("'sep_conv_3x3'", "f'{1}'", 1),
    "an assignment expression": PRINTED.replace("range(2, 4)", "(x := [2])"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        Genotype.from_text(text)
    assert len(str(refusal.value)) < 300
    assert "\n" not in str(refusal.value)


def read_or_refusal(read: Callable[[str], Genotype], text: str) -> Genotype | str:
    try:
        return read(text)
    except InputError as error:
        return str(error)


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_text_reads_as_a_genotype_or_is_refused_but_never_crashes(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([PRINTED, GENOTYPE.to_json()]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 8, len(text))))
        text = text[:start] + data.draw(st.text("()[]{},='\"#\\-0x1aN \n\0", max_size=4)) + text[end:]
    for read in (Genotype.from_text, Genotype.from_json):
        outcome = read_or_refusal(read, text)
        assert isinstance(outcome, Genotype) or "\n" not in outcome


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduce_concat": None}, "reduce cell, concat: expected a list, not None"),
        ({"normal_concat": [2.0]}, "normal cell, concat: a node is a whole number, not 2.0"),
        ({"normal_conact": [2]}, "no 'normal_conact': did you mean 'normal_concat'"),
        ({"normal": {"sep_conv_3x3": 1}}, "normal cell: expected a list"),
    ],
)
def test_json_with_wrong_members_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Genotype.from_json(json.dumps(json.loads(GENOTYPE.to_json()) | change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "lacks normal, normal_concat, reduce, reduce_concat"),
        ('{"normal": [], "normal": []}', "'normal' twice"),
        ("[" * 50_000, "not JSON"),
        ('{"normal": ' + "9" * 5000 + "}", "not JSON"),
        (" " * 1_000_000, "at most 100000 characters"),
    ],
)
def test_text_that_is_not_such_a_json_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        Genotype.from_json(text)
    assert "\n" not in str(refusal.value)


def test_something_other_than_text_is_refused() -> None:
    with pytest.raises(InputError, match="is a string, not None"):
        Genotype.from_text(None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"is a string, not b'\{\}'"):
        Genotype.from_json(b"{}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", [PRINTED, GENOTYPE.to_json(), f"\ufeff\n {GENOTYPE.to_json()}", f"best = {PRINTED}"]
)
def test_the_content_of_a_file_decides_in_which_form_it_is_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cell"
    path.write_text(content, encoding="utf-8")
    assert Genotype.from_file(path) == GENOTYPE
    assert Genotype.from_file(str(path)) == GENOTYPE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no genotype"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file"),
        (b" " * 200_000, "holds no genotype"),
        (b'{"normal": [' + b" " * 200_000, "more than 100000 characters of JSON"),
        (b'{"normal": []}', "lacks normal_concat"),
        (b"[1, 2]", "holds no genotype"),
    ],
)
def test_a_file_without_a_genotype_is_refused_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "cell.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"cell.json: .*{message}"):
        Genotype.from_file(path)


def test_what_python_shows_of_a_genotype_is_read_back() -> None:
    assert Genotype.from_text(repr(GENOTYPE)) == GENOTYPE


def test_a_missing_file_or_a_folder_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.json: No such file"):
        Genotype.from_file(tmp_path / "missing.json")
    with pytest.raises(InputError, match=f"{tmp_path.name}: Is a directory"):
        Genotype.from_file(tmp_path)
    with pytest.raises(InputError, match="null"):
        Genotype.from_file("a\0b")
