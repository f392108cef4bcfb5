"""`pcdarts show`: a genotype as text and pictures, with the sizes of its networks."""

import json

from pcdarts.cell.draw import draw_text
from pcdarts.config.configs import ShowConfig
from pcdarts.jobs.outcome.evaluation import EVALUATION_NETWORKS, NASBENCH201_NETWORK
from pcdarts.jobs.outcome.find_genotype import draw_cells, find_genotype
from pcdarts.jobs.outcome.sizes import size_text
from pcdarts.jobs.outcome.truth import looked_up, standing_lines
from pcdarts.jobs.outcome.under_budget import show_best
from pcdarts.run.run_folder import RunFolder


def run_show(config: ShowConfig) -> None:
    """Print a genotype and the sizes of its networks, and what a table of NAS-Bench-201 says of it; draw its cells.

    With `budget`, list the best genotypes of a finished search instead.

    Raises:
        InputError: there is no such genotype or search, it is inconsistent, nothing is within the budget, or the table
            cannot be read or does not list the cell.
        RunError: drawings or genotype cannot be saved.
    """
    if config.budget:
        show_best(config)
        return
    genotype = find_genotype(config.genotype, say=(lambda remark: None) if config.as_json else print)
    truth = None if config.table is None else looked_up(config.table, genotype)
    if config.as_json and truth:
        print(json.dumps({"genotype": genotype.to_text(), "truth": truth.to_object()}, indent=2))
    elif config.as_json:
        print(genotype.to_json(), end="")
    else:
        for kind in genotype.kinds:
            print(draw_text(genotype, kind))
        print(genotype.to_text() + "\n")
        if genotype.form.macro == "nasbench201":
            print(f"NAS-Bench-201 network: {size_text(NASBENCH201_NETWORK.described(genotype))}")
            print(f"graph: {genotype.unique_text()}")
        else:
            print(f"CIFAR network:    {size_text(EVALUATION_NETWORKS['cifar'].described(genotype))}")
            print(f"ImageNet network: {size_text(EVALUATION_NETWORKS['imagenet'].described(genotype))}")
        if truth:
            print("", *truth.table.notes, *standing_lines(truth.to_object()), sep="\n")
    if config.svg is not None:
        for path in draw_cells(genotype, RunFolder(config.svg)):
            if not config.as_json:
                print(f"drawn in {path}")
