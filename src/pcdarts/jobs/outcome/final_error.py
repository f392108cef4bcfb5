"""The error of a search on the arch split at its end: of all operations mixed, or of its cell alone."""

from itertools import count
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.data.batches import Batches
from pcdarts.jobs.outcome.error_words import ALONE
from pcdarts.learn.measure import top_errors
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import Method
from pcdarts.methods.paths import path_of
from pcdarts.run.processes import Processes
from pcdarts.run.session import Session
from pcdarts.supernet.supernet import Supernet


def errors_of_mixture(
    method: Method, supernet: Supernet, task: SupernetTask, batches: Batches, job: Session
) -> dict[str, Any]:
    """Those of the mixture that was learnt, for `result.json`, with the running statistics of BatchNorm."""
    supernet.eval()
    job.processes.share_buffers(supernet)
    number = count()
    return _named(
        top_errors(
            lambda images: supernet(images, method.mixture(), task.masks("final", next(number))),
            batches,
            job.processes,
            job.save_if_due,
        )
    )


def errors_of_cell(method: Method, genotype: Genotype, task: SupernetTask, processes: Processes) -> dict[str, Any]:
    """Those of the path through the supernet that the first process's `genotype` is, for `result.json`, and that."""
    shared = Genotype.from_json((processes.share(genotype.to_json().encode()) or b"").decode(), method.space.form)
    path = path_of(shared, method.space, method.mixture().detach().edge_weights)
    return _named(task.measured(path)) | {"arch_error_of": ALONE}


def _named(errors: dict[str, float]) -> dict[str, Any]:
    return {f"arch_{name}": error for name, error in errors.items()}
