"""Which cells of NAS-Bench-201 are one network, so that their accuracies differ by the noise of trainings alone."""

from collections import Counter
from collections.abc import Sequence

from pcdarts.cell.space import NASBENCH201


def graph_of(edges: Sequence[tuple[str, int]]) -> str:
    """A text that is the same for two cells only if they are one network.

    Each node is written as the sum of what it adds up, and a node that is only passed on as its own sum. Unlike the
    benchmark's unique text (`cell/arch_string.py`) this flattens sums, and knows a convolution that is read twice from
    two that are equal: the number of each operation that reaches the output stands behind it.
    """
    terms: list[Counter[str]] = [Counter({"0": 1})]
    for node in NASBENCH201.intermediate:
        found: Counter[str] = Counter()
        start = node * (node - 1) // 2
        for primitive, source in edges[start : start + node]:
            if primitive == "skip_connect":
                found += terms[source]
            elif _computes(primitive, terms[source]):
                found[f"({_sum(terms[source])})@{primitive}"] += 1
        terms.append(found)
    return " ".join([_sum(terms[-1]), *sorted(_live(edges, terms))])


def _computes(primitive: str, read: Counter[str]) -> bool:
    """Whether something comes out: of nothing at least the bias of a BatchNorm behind a convolution."""
    return primitive != "none" and (bool(read) or primitive.startswith("nor_conv"))


def _sum(terms: Counter[str]) -> str:
    return "+".join(sorted(terms.elements())) or "#"


def _live(edges: Sequence[tuple[str, int]], terms: Sequence[Counter[str]]) -> list[str]:
    """What is computed on the way from the input to the output: each operation with what it reads, once an edge."""
    wanted, found = {len(terms) - 1}, []
    for node in reversed(NASBENCH201.intermediate):
        if node not in wanted:
            continue
        start = node * (node - 1) // 2
        for primitive, source in edges[start : start + node]:
            if _computes(primitive, terms[source]):
                wanted.add(source)
                if primitive.startswith("nor_conv"):
                    found.append(f"({_sum(terms[source])})@{primitive}")
    return found
