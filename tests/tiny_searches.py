"""What each method needs, besides few images and cells, to search in a fraction of a second."""

import shlex

from command_line import SEARCH

TINY: dict[str, str] = {
    "proxyless": "--mode two --arch-every 1 --warmup-epochs 1",
    "drnas": "--second-k 1",
    "parsec": "--samples 3",
    "enas": "--controller-size 8 --controller-steps 2 --controller-samples 2 --candidates 3 --finalists 2",
    "pnas": "--beam 4 --predictor-size 4 --predictor-members 2 --predictor-steps 2 --candidate-batches 1 --finalists 2",
    "nao": "--population 5 --children 2 --parents 2 --round-epochs 1 --code-size 4 --predictor-size 4 --code-epochs 2",
    "evolution": "--population 4 --sample 2 --children 2 --candidate-batches 1 --finalists 2",
    "random-ws": "--candidates 6 --candidate-batches 1 --finalists 2",
    "darts-pt": "--num-nodes 3 --tuning-epochs 1 --removal-batches 1",
    "te-nas": "--epochs 1 --arch-frozen-epochs 0 --num-nodes 3 --operations-pruned 6 --kernel-images 2 --patches 10",
    "p-darts": "--added-cells 0 1 --skip-dropout 0 0 0.7",
}
"""Flags by method, such as small populations and shallow stages; a method that is not here needs none."""


def tiny_search(method: str) -> list[str]:
    """Two epochs of two steps, in the first of which α is frozen, in each of the method's stages."""
    shared = [flag for flag in SEARCH if flag not in ("--arch-learning-rate", "0.1")]
    return [*shared, *shlex.split(f"--epochs 2 --arch-frozen-epochs 1 --method {method} {TINY.get(method, '')}")]
