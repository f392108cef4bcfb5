"""The cells that papers published, by name.

The node numbering and the order of the edges are those of the DARTS, P-DARTS and PC-DARTS scripts, so that networks
built from these cells can load the weights that those scripts saved.
"""

from difflib import get_close_matches

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.published_elsewhere import ELSEWHERE
from pcdarts.errors import InputError

_NASNET_A = Genotype(
    normal=(
        ("sep_conv_5x5", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_5x5", 0),
        ("sep_conv_3x3", 0),
        ("avg_pool_3x3", 1),
        ("skip_connect", 0),
        ("avg_pool_3x3", 0),
        ("avg_pool_3x3", 0),
        ("sep_conv_3x3", 1),
        ("skip_connect", 1),
    ),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=(
        ("sep_conv_5x5", 1),
        ("sep_conv_7x7", 0),
        ("max_pool_3x3", 1),
        ("sep_conv_7x7", 0),
        ("avg_pool_3x3", 1),
        ("sep_conv_5x5", 0),
        ("skip_connect", 3),
        ("avg_pool_3x3", 2),
        ("sep_conv_3x3", 2),
        ("max_pool_3x3", 1),
    ),
    reduce_concat=(4, 5, 6),
)
"""Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition. CVPR 2018.

The form in the DARTS scripts.
"""

_AMOEBANET_A = Genotype(
    normal=(
        ("avg_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_5x5", 2),
        ("sep_conv_3x3", 0),
        ("avg_pool_3x3", 3),
        ("sep_conv_3x3", 1),
        ("skip_connect", 1),
        ("skip_connect", 0),
        ("avg_pool_3x3", 1),
    ),
    normal_concat=(4, 5, 6),
    reduce=(
        ("avg_pool_3x3", 0),
        ("sep_conv_3x3", 1),
        ("max_pool_3x3", 0),
        ("sep_conv_7x7", 2),
        ("sep_conv_7x7", 0),
        ("avg_pool_3x3", 1),
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("conv_7x1_1x7", 0),
        ("sep_conv_3x3", 5),
    ),
    reduce_concat=(3, 4, 6),
)
"""Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search. AAAI 2019.

The form in the DARTS scripts.
"""

_DARTS_V1 = Genotype(
    normal=(
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("skip_connect", 0),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("skip_connect", 2),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 2),
        ("avg_pool_3x3", 0),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019. First order, found on CIFAR-10."""

_DARTS_V2 = Genotype(
    normal=(
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
        ("max_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019. Second order, found on CIFAR-10."""

_P_DARTS = Genotype(
    normal=(
        ("skip_connect", 0),
        ("dil_conv_3x3", 1),
        ("skip_connect", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 3),
        ("sep_conv_3x3", 0),
        ("dil_conv_5x5", 4),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        ("avg_pool_3x3", 0),
        ("sep_conv_5x5", 1),
        ("sep_conv_3x3", 0),
        ("dil_conv_5x5", 2),
        ("max_pool_3x3", 0),
        ("dil_conv_3x3", 1),
        ("dil_conv_3x3", 1),
        ("dil_conv_5x5", 3),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""Chen, Xie, Wu, Tian: Progressive Differentiable Architecture Search: Bridging the Depth Gap between Search and
Evaluation. ICCV 2019. Found on CIFAR-10."""

_PC_DARTS_CIFAR10 = Genotype(
    normal=(
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("sep_conv_3x3", 0),
        ("dil_conv_3x3", 1),
        ("sep_conv_5x5", 0),
        ("sep_conv_3x3", 1),
        ("avg_pool_3x3", 0),
        ("dil_conv_3x3", 1),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        ("sep_conv_5x5", 1),
        ("max_pool_3x3", 0),
        ("sep_conv_5x5", 1),
        ("sep_conv_5x5", 2),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 3),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 2),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""Xu et al.: PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search. ICLR 2020. Figure 2, left:
found on CIFAR-10 (Sec. 4.2)."""

_PC_DARTS_IMAGENET = Genotype(
    normal=(
        ("skip_connect", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 0),
        ("skip_connect", 1),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 3),
        ("sep_conv_3x3", 1),
        ("dil_conv_5x5", 4),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        ("sep_conv_3x3", 0),
        ("skip_connect", 1),
        ("dil_conv_5x5", 2),
        ("max_pool_3x3", 1),
        ("sep_conv_3x3", 2),
        ("sep_conv_3x3", 1),
        ("sep_conv_5x5", 0),
        ("sep_conv_3x3", 3),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""Xu et al.: PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search. ICLR 2020. Figure 2,
right: found on ImageNet (Sec. 4.3)."""

PUBLISHED = {
    "pc_darts_cifar10": _PC_DARTS_CIFAR10,
    "pc_darts_imagenet": _PC_DARTS_IMAGENET,
    "darts_v1": _DARTS_V1,
    "darts_v2": _DARTS_V2,
    "p_darts": _P_DARTS,
    "nasnet_a": _NASNET_A,
    "amoebanet_a": _AMOEBANET_A,
    **ELSEWHERE,
}


AUTHORS_NAMES = {
    "NASNet": "nasnet_a",
    "AmoebaNet": "amoebanet_a",
    "DARTS": "darts_v2",
    "PCDARTS": "pc_darts_cifar10",
    "PC_DARTS_cifar": "pc_darts_cifar10",
    "PC_DARTS_image": "pc_darts_imagenet",
    "PDARTS": "p_darts",
    "PNASNet": "pnasnet_5",
}
"""What the DARTS, P-DARTS and PC-DARTS scripts call these cells, where that is not our name in capitals."""


def published(name: str) -> Genotype:
    """The published cell of that name, ours or that of the authors' scripts (`PCDARTS`).

    Capitals, dashes, underscores and spaces do not matter (`PC-DARTS-CIFAR10`).

    Raises:
        InputError: no such name.
    """
    return PUBLISHED[published_name(name)]


def published_name(name: str) -> str:
    """Our name of the published cell that is called `name`, a key of `PUBLISHED`.

    Raises:
        InputError: no such name.
    """
    if not isinstance(name, str):
        known = ", ".join(PUBLISHED)
        raise InputError(
            f"the name of a published cell is a text, not of type {type(name).__name__}: give one of {known}"
        )
    names = {_bare(known): known for known in (*AUTHORS_NAMES, *PUBLISHED)}
    if _bare(name) not in names:
        close = get_close_matches(_bare(name), names, n=1)
        listing = f"use one of {', '.join([*PUBLISHED, *AUTHORS_NAMES])}"
        remedy = f"did you mean {names[close[0]]!r}? ({listing})" if close else listing
        raise InputError(f"no published cell is called {name[:40]!r}: {remedy}")
    known = names[_bare(name)]
    return AUTHORS_NAMES.get(known, known)


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in "-_" and not letter.isspace())
