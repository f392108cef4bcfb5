"""The recipes of search methods other than DARTS: for each the published settings, and small ones for two cores.

Each is what it says differently from the paper's search on CIFAR-10, or from `cifar10-small`.
"""

from typing import Any

_PLAIN: dict[str, Any] = {"k": 1, "edge_normalization": False, "arch_frozen_epochs": 0}
"""Neither partial channels nor edge normalisation, and no first epochs for the weights alone."""
_AS_DARTS: dict[str, Any] = _PLAIN | {"batch_size": 64, "learning_rate": 0.025, "learning_rate_min": 0.001}
"""And the weights learn as in DARTS, for 50 epochs if nothing else is said."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "gaea": {"arch_frozen_epochs": 0},
    "fair-darts": {**_AS_DARTS, "batch_size": 128, "learning_rate": 0.005},
    "gdas": {
        **_AS_DARTS,
        "epochs": 250,
        "batch_size": 256,
        "nesterov": True,
        "weight_decay": 5e-4,
        "decode": "pairs",
    },
    "drnas": {
        "channels": 36,
        "num_cells": 20,
        "k": 6,
        "second_k": 4,
        "edge_normalization": False,
        "epochs": 25,
        "arch_frozen_epochs": 10,
        "batch_size": 64,
    },
    "parsec": _AS_DARTS,
    "bayesnas": {**_PLAIN, "batch_size": 18, "weight_decay": 1e-4},
    "snas": {**_AS_DARTS, "epochs": 150, "weight_fraction": 0.98},
    "proxyless": {
        **_PLAIN,
        "epochs": 120,
        "warmup_epochs": 40,
        "warmup_learning_rate": 0.05,
        "learning_rate": 0.025,
        "nesterov": True,
        "weight_decay": 4e-5,
    },
    "random-ws": _AS_DARTS,
    "evolution": {**_AS_DARTS, "epochs": 500, "arch_frozen_epochs": 50, "batch_size": 128},
    "enas": {
        **_PLAIN,
        "channels": 20,
        "epochs": 150,
        "batch_size": 160,
        "learning_rate": 0.05,
        "learning_rate_min": 0.0005,
        "weight_decay": 1e-4,
        "candidate_batches": 1,
    },
    "pnas": {**_PLAIN, "channels": 24, "epochs": 20, "learning_rate": 0.01},
    "p-darts": {
        **_PLAIN,
        "num_cells": 5,
        "epochs": 25,
        "arch_frozen_epochs": 10,
        "batch_size": 96,
        "learning_rate": 0.025,
    },
    "nao": {**_AS_DARTS, "channels": 20, "num_cells": 11, "epochs": 150, "learning_rate": 0.1},
    "darts-pt": _AS_DARTS,
    "te-nas": {**_PLAIN, "channels": 1, "num_cells": 3, "epochs": 3, "batch_size": 64},
}
"""By method, whose name is that of the recipe too. Figures are those of the method's paper or its authors' code."""

SMALL: dict[str, dict[str, Any]] = {
    "gaea": {"arch_frozen_epochs": 0, "arch_learning_rate": 0.5},
    "fair-darts": {"arch_frozen_epochs": 0, "arch_learning_rate": 0.02},
    "gdas": {"epochs": 120, "arch_frozen_epochs": 0, "arch_learning_rate": 3e-3},
    "drnas": {
        "k": 2,
        "second_k": 1,
        "edge_normalization": False,
        "epochs": 15,
        "arch_frozen_epochs": 5,
        "arch_learning_rate": 6e-3,
    },
    "parsec": {"samples": 4, "epochs": 15, "arch_frozen_epochs": 5, "arch_learning_rate": 6e-3},
    "bayesnas": {"arch_learning_rate": 0.05},
    "snas": {"arch_frozen_epochs": 0, "weight_fraction": 0.9, "arch_learning_rate": 3e-3},
    "proxyless": {"epochs": 60, "arch_frozen_epochs": 0, "warmup_epochs": 20, "arch_learning_rate": 1e-2},
    "random-ws": {"epochs": 100, "arch_frozen_epochs": 0, "candidates": 200, "candidate_batches": 1},
    "evolution": {
        "epochs": 100,
        "arch_frozen_epochs": 10,
        "population": 20,
        "sample": 5,
        "children": 5,
        "candidate_batches": 4,
        "finalists": 5,
    },
    "enas": {"epochs": 100, "arch_frozen_epochs": 10, "controller_steps": 10, "controller_samples": 5},
    "pnas": {
        "epochs": 25,
        "arch_frozen_epochs": 0,
        "beam": 32,
        "predictor_size": 32,
        "predictor_members": 3,
        "predictor_steps": 50,
        "candidate_batches": 2,
    },
    "p-darts": {
        "edge_normalization": False,
        "num_cells": 3,
        "added_cells": (1, 2),
        "epochs": 15,
        "arch_frozen_epochs": 6,
        "arch_learning_rate": 6e-3,
    },
    "nao": {
        "epochs": 100,
        "arch_frozen_epochs": 10,
        "population": 60,
        "children": 30,
        "parents": 10,
        "round_epochs": 20,
        "code_size": 48,
        "code_epochs": 100,
    },
    "darts-pt": {"arch_learning_rate": 6e-3, "tuning_epochs": 1},
    "te-nas": {"num_cells": 3, "epochs": 1, "arch_frozen_epochs": 0, "kernel_images": 8, "patches": 500},
}
"""By method; the recipe's name ends with "-small"."""

_DARTS: dict[str, Any] = {**_AS_DARTS, "method": "darts", "arch_learning_rate": 3e-4}
_DARTS_SMALL: dict[str, Any] = {"method": "darts", "arch_learning_rate": 6e-3}
_SNAS_COSTS: dict[str, dict[str, Any]] = {
    "snas-mild": {"method": "snas", "cost_weight": 5e-4},
    "snas-moderate": {"method": "snas", "cost_weight": 1.5e-3},
    "snas-aggressive": {"method": "snas", "cost_weight": 4.5e-3},
}

VARIANTS: dict[str, dict[str, Any]] = {
    "sdarts-rs": _DARTS | {"perturbation": 0.3},
    "darts-minus": _DARTS | {"auxiliary_skip": True},
    "beta-darts": _DARTS | {"beta_penalty": 25.0, "arch_weight_decay": 0.0},
    "oles": _DARTS | {"oles_threshold": 0.4},
    "r-darts": _DARTS | {"eigenvalue_every": 2},
    **{name: PUBLISHED["snas"] | costs for name, costs in _SNAS_COSTS.items()},
    "pc-p-darts": {"method": "p-darts", "num_cells": 5, "epochs": 25, "arch_frozen_epochs": 10},
}
"""By recipe: DARTS with a switch of `config/methods/robust.py`, as the switch's paper has it; and SNAS by its costs;
and P-DARTS with partial channels and edge normalisation: nothing is published, so PC-DARTS's, in three stages."""

SMALL_VARIANTS: dict[str, dict[str, Any]] = {
    "sdarts-rs": _DARTS_SMALL | {"perturbation": 0.3},
    "darts-minus": _DARTS_SMALL | {"auxiliary_skip": True},
    "beta-darts": _DARTS_SMALL | {"beta_penalty": 15.0, "arch_weight_decay": 0.0},
    "oles": _DARTS_SMALL | {"oles_threshold": 0.4},
    "r-darts": _DARTS_SMALL | {"eigenvalue_every": 1, "eigenvalue_earliest": 2},
    **{name: SMALL["snas"] | costs for name, costs in _SNAS_COSTS.items()},
    "pc-p-darts": SMALL["p-darts"] | {"method": "p-darts", "k": 2, "edge_normalization": True},
}
"""By recipe without its "-small"."""
