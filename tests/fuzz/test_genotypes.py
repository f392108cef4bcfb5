"""Whatever is given for a genotype ends in a genotype or in one clear line, and nothing of it is evaluated."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from command_line import GENOTYPE
from hostile import cases, mutated, new_folder, outcome
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.zoo import published

PRINTED = GENOTYPE.to_text()
JSON = GENOTYPE.to_json()

pieces = st.one_of(
    st.sampled_from(
        [
            *"()[]{},=:'\"\\#\n\r\t\0-+*&!.;٣①²é\ud800\u2028\ufeff",
            *("Genotype(", "normal=", "reduce_concat=", "range(2, 6)", "range(0, 10**9)", "range(0, 10**30, -1)"),
            *(
                "range(2, 99999999999999999999999)",
                "('sep_conv_3x3', 0)",
                '["none", 1]',
                "'none'",
                "1e999",
                "0x10",
                "1_0",
            ),
            *(
                "9" * 5000,
                "-" * 200,
                "(" * 300,
                "[" * 300,
                "True",
                "None",
                "NaN",
                "-Infinity",
                "b'x'",
                "f'{1}'",
                "...",
                "1j",
            ),
            *("__import__('os').abort()", "(lambda: exit())()", "*[1]", "**{}", "a := 1", "x for x in y", "await x"),
        ]
    ),
    st.text(max_size=5),
    st.integers().map(str),
)


def check_read_back(genotype: Genotype | None) -> None:
    """What was accepted is a consistent genotype: both of its written forms give it again."""
    if genotype is not None:
        assert Genotype.from_text(genotype.to_text()) == genotype
        assert Genotype.from_json(genotype.to_json()) == genotype


@cases(400)
@given(mutated(PRINTED, pieces))
@example("Genotype(" + "-" * 50_000 + "1)")
@example("Genotype(" * 10_000)
@example("Genotype(normal=" + "9" * 90_000 + ")")
@example("Genotype(" + "\\N{" * 1000 + ")")
def test_a_changed_printed_genotype_is_read_or_refused(text: str) -> None:
    check_read_back(outcome(lambda: Genotype.from_text(text)))


@cases(200)
@given(st.lists(st.one_of(pieces, st.sampled_from(PRINTED.split())), max_size=20).map(" ".join))
def test_loose_pieces_of_genotypes_are_read_or_refused(text: str) -> None:
    check_read_back(outcome(lambda: Genotype.from_text(f"Genotype({text})")))


@cases(300)
@given(mutated(JSON, pieces))
@example("{" + '"normal": [' * 50_000)
@example('{"normal": ' + "[" * 40_000 + "]" * 40_000 + "}")
@example('{"normal": ' + "9" * 90_000 + "}")
def test_a_changed_json_genotype_is_read_or_refused(text: str) -> None:
    check_read_back(outcome(lambda: Genotype.from_json(text)))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-1, 6),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["none", "sep_conv_3x3", "SEP_CONV_3X3", "max_pool_3x3", "x" * 10_000, "\ud800", "9" * 5000]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=15,
)
members = st.one_of(values, st.lists(st.tuples(scalars, scalars), max_size=6), st.lists(scalars, max_size=6))


@cases(300)
@given(
    st.dictionaries(st.sampled_from(["normal", "normal_concat", "reduce", "reduce_concat"]), members, max_size=4),
    st.one_of(st.just({}), st.just(json.loads(JSON)), st.dictionaries(st.text(max_size=500), values, max_size=2)),
)
def test_any_json_value_is_read_or_refused(changes: dict[str, Any], others: dict[str, Any]) -> None:
    text = json.dumps({**others, **changes})
    check_read_back(outcome(lambda: Genotype.from_json(text)))
    check_read_back(outcome(lambda: Genotype.from_json(json.dumps(list(changes.values())))))


LOG = "".join(f"epoch {epoch} lr 0.1\ngenotype = {PRINTED}\n" for epoch in range(3))
PYTHON = f"# A = {PRINTED}\nA = {PRINTED}\nB = Genotype(*A)\nC = A\n"


@cases(200)
@given(
    st.one_of(mutated(LOG, pieces), mutated(PYTHON, pieces)),
    st.sampled_from(["log.txt", "genotypes.py"]),
    st.sampled_from([None, "1", "A", "C", "x" * 50]),
)
@example("A = " + "-" * 50_000 + "1", "genotypes.py", None)
@example("A = " + "(" * 500_000, "genotypes.py", None)
@example("A = Genotype(" + "1+" * 100_000 + "1)", "genotypes.py", None)
@example("A = Genotype" + ".a" * 100_000 + "()", "genotypes.py", None)
@example("Genotype(\n" * 20_000, "log.txt", "1")
@example("Genotype(" + "\n" * 200_000, "log.txt", None)
@example("epoch 1 Genotype(" * 20_000, "log.txt", "1")
def test_a_changed_log_or_python_file_is_read_or_refused(text: str, name: str, which: str | None) -> None:
    with new_folder() as folder:
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        check_read_back(outcome(lambda: Genotype.from_file(folder / name, which), name))


@cases(100)
@given(changes=st.dictionaries(st.sampled_from(["normal", "normal_concat", "reduce", "reduce_concat"]), members))
def test_any_python_value_is_taken_or_refused(changes: dict[str, Any]) -> None:
    whole = {
        name: getattr(published("darts_v1"), name) for name in ("normal", "normal_concat", "reduce", "reduce_concat")
    }
    check_read_back(outcome(lambda: Genotype(**{**whole, **changes})))


@cases(150)
@given(
    st.one_of(
        st.binary(max_size=50),
        mutated(PRINTED, pieces).map(lambda text: text.encode("utf-8", "surrogatepass")),
        mutated(JSON, pieces).map(lambda text: text.encode("utf-16", "surrogatepass")),
        st.just(bytes(200_000)),
    ),
    st.sampled_from(["mine.json", "a\nb", "\udcff", "é" * 100, "a b\u2028c"]),
)
def test_a_file_of_anything_is_read_or_refused_by_its_name(content: bytes, name: str) -> None:
    with new_folder() as folder:
        (folder / name).write_bytes(content)
        check_read_back(outcome(lambda: Genotype.from_file(folder / name), name if name.isprintable() else "fuzz"))
        assert (folder / name).read_bytes() == content
