"""Cells of Tables 1 and 2 that the code of their authors holds, and the DARTS scripts do not: facts read there.

Each is in the common form, two edges for each node, and computes what its authors' cell does:

* a sum of more than two operations is two nodes, the second of which takes the first by `skip_connect`;
* an input that the output concatenates is a node of its own, `skip_connect` and `none`;
* an edge that carries nothing is `none`.
"""

from pcdarts.cell.genotype import Genotype

_Edge = tuple[str, int]


def _nodes(*pairs: tuple[_Edge, _Edge]) -> tuple[_Edge, ...]:
    return tuple(edge for pair in pairs for edge in pair)


_SNAS_MILD = Genotype(
    normal=_nodes(
        (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        (("skip_connect", 0), ("dil_conv_3x3", 1)),
        (("skip_connect", 0), ("skip_connect", 1)),
        (("skip_connect", 0), ("sep_conv_3x3", 1)),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=_nodes(
        (("max_pool_3x3", 0), ("max_pool_3x3", 1)),
        (("max_pool_3x3", 1), ("skip_connect", 2)),
        (("max_pool_3x3", 1), ("skip_connect", 2)),
        (("max_pool_3x3", 0), ("dil_conv_5x5", 2)),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""Xie, Zheng, Liu, Lin: SNAS: Stochastic Neural Architecture Search. ICLR 2019. Mild constraint.

Source: github.com/SNAS-Series/SNAS-Series, SNAS/genotypes.py.
"""

_SNAS_MODERATE = Genotype(
    normal=_nodes(
        (("dil_conv_5x5", 0), ("skip_connect", 1)),
        (("sep_conv_3x3", 0), ("skip_connect", 1)),
        (("skip_connect", 0), ("skip_connect", 1)),
        (("sep_conv_3x3", 0), ("dil_conv_5x5", 1)),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=_nodes(
        (("max_pool_3x3", 0), ("max_pool_3x3", 1)),
        (("sep_conv_5x5", 0), ("dil_conv_5x5", 1)),
        (("sep_conv_5x5", 0), ("sep_conv_5x5", 1)),
        (("sep_conv_5x5", 0), ("sep_conv_5x5", 1)),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""The same paper and source. Moderate constraint."""

_SNAS_AGGRESSIVE = Genotype(
    normal=_nodes(
        (("sep_conv_5x5", 0), ("skip_connect", 1)),
        (("skip_connect", 0), ("skip_connect", 1)),
        (("dil_conv_5x5", 1), ("skip_connect", 0)),
        (("skip_connect", 0), ("dil_conv_5x5", 1)),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=_nodes(
        (("sep_conv_5x5", 0), ("none", 1)),
        (("sep_conv_5x5", 0), ("none", 1)),
        (("none", 1), ("none", 0)),
        (("none", 1), ("none", 0)),
    ),
    reduce_concat=(2, 3, 4, 5),
)
"""The same paper and source. Aggressive constraint: half of the reduction cell's output is zeros."""

_BAYESNAS_CIFAR10 = Genotype(
    normal=_nodes(
        (("max_pool_3x3", 0), ("avg_pool_3x3", 0)),
        (("skip_connect", 2), ("skip_connect", 0)),
        (("skip_connect", 1), ("sep_conv_5x5", 0)),
        (("skip_connect", 0), ("max_pool_3x3", 0)),
        (("skip_connect", 5), ("avg_pool_3x3", 1)),
        (("sep_conv_5x5", 0), ("max_pool_3x3", 3)),
    ),
    normal_concat=(3, 4, 6, 7),
    reduce=_nodes(
        (("sep_conv_3x3", 1), ("sep_conv_5x5", 1)),
        (("skip_connect", 2), ("max_pool_3x3", 1)),
        (("avg_pool_3x3", 0), ("max_pool_3x3", 0)),
        (("skip_connect", 3), ("skip_connect", 4)),
        (("max_pool_3x3", 5), ("avg_pool_3x3", 5)),
        (("skip_connect", 6), ("skip_connect", 5)),
        (("skip_connect", 0), ("max_pool_3x3", 0)),
        (("sep_conv_3x3", 0), ("max_pool_3x3", 0)),
        (("skip_connect", 9), ("max_pool_3x3", 5)),
    ),
    reduce_concat=(5, 7, 8, 10),
)
"""Zhou, Yang, Wang, Pan: BayesNAS: A Bayesian Approach for Neural Architecture Search. ICML 2019. Found on CIFAR-10.

Source: github.com/BayesNAS/BayesNAS, CNN/pre_trained/0.005/OneShot.py.
"""

_BAYESNAS_IMAGENET = Genotype(
    normal=_nodes(
        (("sep_conv_5x5", 1), ("sep_conv_5x5", 0)),
        (("skip_connect", 2), ("max_pool_3x3", 0)),
        (("avg_pool_3x3", 0), ("skip_connect", 0)),
        (("skip_connect", 3), ("skip_connect", 4)),
        (("max_pool_3x3", 1), ("skip_connect", 1)),
        (("skip_connect", 1), ("max_pool_3x3", 0)),
        (("avg_pool_3x3", 5), ("none", 0)),
    ),
    normal_concat=(5, 6, 7, 8),
    reduce=_nodes(
        (("skip_connect", 1), ("sep_conv_3x3", 0)),
        (("skip_connect", 2), ("avg_pool_3x3", 0)),
        (("max_pool_3x3", 0), ("sep_conv_5x5", 0)),
        (("skip_connect", 3), ("skip_connect", 4)),
        (("max_pool_3x3", 0), ("avg_pool_3x3", 0)),
        (("sep_conv_3x3", 0), ("avg_pool_3x3", 0)),
        (("sep_conv_5x5", 5), ("none", 0)),
    ),
    reduce_concat=(5, 6, 7, 8),
)
"""The same paper; the cell of its network for ImageNet. Source: the same, CNN/pre_trained/imagenet/OneShot.py."""

_AMOEBANET_B = Genotype(
    normal=_nodes(
        (("conv_1x1", 0), ("max_pool_3x3", 0)),
        (("skip_connect", 0), ("sep_conv_3x3", 1)),
        (("conv_1x1", 0), ("sep_conv_3x3", 1)),
        (("conv_1x1", 2), ("skip_connect", 2)),
        (("avg_pool_3x3", 0), ("conv_1x1", 5)),
        (("skip_connect", 1), ("none", 1)),
    ),
    normal_concat=(3, 4, 6, 7),
    reduce=_nodes(
        (("max_pool_2x2", 1), ("max_pool_3x3", 1)),
        (("skip_connect", 2), ("bottleneck_3x3", 0)),
        (("sep_conv_5x5", 2), ("max_pool_3x3", 2)),
        (("skip_connect", 3), ("sep_conv_3x3", 0)),
        (("avg_pool_3x3", 4), ("conv_1x1", 3)),
    ),
    reduce_concat=(5, 6),
)
"""Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search. AAAI 2019.

Source: github.com/tensorflow/tpu, models/official/amoeba_net (`amoeba_net_b`), whose state 0 is the last cell's output.
Its `dil_2_separable_5x5_2` is computed without dilation there.
"""

_AMOEBANET_C = Genotype(
    normal=_nodes(
        (("avg_pool_3x3", 1), ("sep_conv_3x3", 1)),
        (("skip_connect", 1), ("sep_conv_3x3", 1)),
        (("avg_pool_3x3", 2), ("sep_conv_3x3", 0)),
        (("skip_connect", 1), ("sep_conv_3x3", 0)),
        (("avg_pool_3x3", 3), ("sep_conv_3x3", 1)),
        (("skip_connect", 0), ("none", 0)),
    ),
    normal_concat=(2, 4, 5, 6, 7),
    reduce=_nodes(
        (("max_pool_3x3", 1), ("max_pool_3x3", 1)),
        (("sep_conv_7x7", 2), ("sep_conv_3x3", 1)),
        (("sep_conv_7x7", 1), ("max_pool_3x3", 0)),
        (("sep_conv_5x5", 4), ("sep_conv_5x5", 4)),
        (("max_pool_3x3", 0), ("sep_conv_3x3", 0)),
        (("skip_connect", 1), ("none", 1)),
    ),
    reduce_concat=(2, 3, 4, 5, 6, 7),
)
"""The same paper and source (`amoeba_net_c`)."""

_PNASNET_5 = Genotype(
    normal=_nodes(
        (("sep_conv_5x5", 0), ("max_pool_3x3", 0)),
        (("sep_conv_7x7", 1), ("max_pool_3x3", 1)),
        (("sep_conv_5x5", 1), ("sep_conv_3x3", 1)),
        (("sep_conv_3x3", 4), ("max_pool_3x3", 1)),
        (("sep_conv_3x3", 0), ("skip_connect", 1)),
    ),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=_nodes(
        (("sep_conv_5x5", 0), ("max_pool_3x3", 0)),
        (("sep_conv_7x7", 1), ("max_pool_3x3", 1)),
        (("sep_conv_5x5", 1), ("sep_conv_3x3", 1)),
        (("sep_conv_3x3", 4), ("max_pool_3x3", 1)),
        (("sep_conv_3x3", 0), ("skip_connect", 1)),
    ),
    reduce_concat=(2, 3, 4, 5, 6),
)
"""Liu et al.: Progressive Neural Architecture Search. ECCV 2018. One cell for both kinds.

Source: github.com/chenxi116/PNASNet.pytorch, as github.com/D-X-Y/AutoDL-Projects has it.
"""

_ENAS = Genotype(
    normal=_nodes(
        (("avg_pool_3x3", 0), ("sep_conv_3x3", 0)),
        (("skip_connect", 0), ("sep_conv_5x5", 0)),
        (("skip_connect", 0), ("sep_conv_5x5", 1)),
        (("sep_conv_3x3", 1), ("sep_conv_5x5", 0)),
        (("avg_pool_3x3", 0), ("sep_conv_5x5", 1)),
    ),
    normal_concat=(2, 3, 4, 5, 6),
    reduce=_nodes(
        (("sep_conv_3x3", 1), ("sep_conv_3x3", 1)),
        (("max_pool_3x3", 0), ("avg_pool_3x3", 0)),
        (("sep_conv_5x5", 1), ("sep_conv_5x5", 3)),
        (("sep_conv_3x3", 1), ("skip_connect", 0)),
        (("max_pool_3x3", 0), ("sep_conv_5x5", 1)),
    ),
    reduce_concat=(2, 4, 5, 6),
)
"""Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018. Micro search.

Source: github.com/melodyguan/enas, scripts/cifar10_micro_final.sh. Nodes that no other reads are concatenated.
"""

_NAONET_WS = Genotype(
    normal=_nodes(
        (("sep_conv_5x5", 0), ("avg_pool_3x3", 0)),
        (("sep_conv_5x5", 0), ("avg_pool_3x3", 2)),
        (("max_pool_3x3", 1), ("avg_pool_3x3", 0)),
        (("sep_conv_3x3", 4), ("max_pool_3x3", 1)),
        (("sep_conv_5x5", 2), ("max_pool_3x3", 0)),
    ),
    normal_concat=(3, 5, 6),
    reduce=_nodes(
        (("sep_conv_5x5", 1), ("sep_conv_3x3", 1)),
        (("sep_conv_5x5", 2), ("skip_connect", 2)),
        (("sep_conv_3x3", 1), ("max_pool_3x3", 2)),
        (("sep_conv_5x5", 3), ("avg_pool_3x3", 2)),
        (("avg_pool_3x3", 0), ("avg_pool_3x3", 0)),
    ),
    reduce_concat=(4, 5, 6),
)
"""Luo, Tian, Qin, Chen, Liu: Neural Architecture Optimization. NeurIPS 2018. Found with weight sharing.

Source: the sequence of numbers in github.com/renqianluo/NAO_pytorch, NAO_V1/train_NAONet_B_36_cifar10.sh. Nodes that no
other reads are concatenated.
"""

ELSEWHERE = {
    "amoebanet_b": _AMOEBANET_B,
    "amoebanet_c": _AMOEBANET_C,
    "pnasnet_5": _PNASNET_5,
    "enas": _ENAS,
    "naonet_ws": _NAONET_WS,
    "snas_mild": _SNAS_MILD,
    "snas_moderate": _SNAS_MODERATE,
    "snas_aggressive": _SNAS_AGGRESSIVE,
    "bayesnas_cifar10": _BAYESNAS_CIFAR10,
    "bayesnas_imagenet": _BAYESNAS_IMAGENET,
}
"""By their names in `cell/zoo.py`."""
