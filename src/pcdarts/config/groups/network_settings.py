"""Groups of settings about networks: their size, that of the one trained later, and what a file of weights lacks."""

from pathlib import Path
from typing import Any

from pydantic import ValidationInfo, field_validator

from pcdarts.cell.space import NASBENCH201, CellSpace, Macro, NetworkKind, space_of
from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.values import Amount, Channels, Count, NaturalNumber, NumCells, Positive, Width
from pcdarts.errors import listed, shown

NO_GENOTYPE = "none"
"""The genotype in the configuration of a stock network, which has no cell."""


class Stem(Group):
    """How a network begins."""

    kind: NetworkKind = setting(
        "cifar",
        "stem: 'cifar' keeps the resolution (images of up to 32 pixels), 'stride2' halves it (up to 64), "
        "'stride4' quarters it (up to 128), 'imagenet' reduces it eightfold (larger ones, such as 224); smaller maps "
        "cost less, and `pcdarts search --plan` says how much",
    )


class Size(Group):
    """How wide and how deep a network is."""

    channels: Channels = setting(16, "initial number of channels")
    num_cells: NumCells = setting(8, "number of cells L; those at 1/3 and 2/3 of the depth reduce")


class Nodes(Group):
    """How large a cell is."""

    num_nodes: int = setting(6, "nodes N of a cell, its two inputs included", ge=3, le=102)


_BENCHMARKS_SIZES = {"channels": 16, "num_cells": 15, "num_nodes": NASBENCH201.num_nodes}
"""The defaults of sizes in the space of NAS-Bench-201."""


class Space(Nodes):
    """Which cells are searched; a class lists it after `Size`, and before what it makes of them."""

    space: Macro = setting(
        "darts",
        "the cells that are searched: those of the paper, or the 15,625 of NAS-Bench-201, which have 4 nodes and stand "
        "in 3N cells",
    )

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{**(_BENCHMARKS_SIZES if fields.get("space") == "nasbench201" else {}), **fields})

    @field_validator("space")
    @classmethod
    def _the_sizes_are_of_the_space(cls, space: Macro, info: ValidationInfo) -> Macro:
        if space == "nasbench201":
            cells, nodes = info.data.get("num_cells", 3), info.data.get("num_nodes", NASBENCH201.num_nodes)
            if nodes != NASBENCH201.num_nodes:
                raise ValueError(
                    f"num_nodes is {nodes}, but the cells of nasbench201 have {NASBENCH201.num_nodes}: drop num_nodes, "
                    "or use space darts"
                )
            if cells % 3:
                raise ValueError(
                    f"num_cells is {cells}, but a network of nasbench201 has equally many cells in each of three "
                    "stages: use 3, 6, 9, ... (the benchmark has 15)"
                )
        return space

    @property
    def cell_space(self) -> CellSpace:
        """The cells that are searched."""
        return space_of(self.space, self.num_nodes)


class Truth(Group):
    """Where the cell that is found is looked up when the search is over; a class lists it after `Space`."""

    changeable = frozenset({"table"})

    table: Path | None = setting(
        None,
        "table of NAS-Bench-201 (a CSV file, plain, .gz, .bz2 or .xz, or a folder of NATS-Bench), in which the cell is "
        "looked up after the search, which knows nothing of it: accuracy, rank, regret to the best",
        after="space",
    )

    @field_validator("table")
    @classmethod
    def _it_knows_one_space(cls, table: Path | None, info: ValidationInfo) -> Path | None:
        if table is not None and info.data.get("space") == "darts":
            raise ValueError(
                "table knows the cells of NAS-Bench-201 alone, and space is darts: drop it, or use space nasbench201; "
                "cells of darts are scored by `pcdarts score RUN --table`, after the search"
            )
        return table


class PartialChannels(Group):
    """How many channels go through the operations; a class lists it after `Size`."""

    k: Count = setting(4, "1/K of the channels go through the operations, the others bypass them (Eq. 1)")

    @field_validator("k")
    @classmethod
    def _k_divides_channels(cls, k: int, info: ValidationInfo) -> int:
        channels = info.data.get("channels")
        if channels is not None and channels % k:
            divisors = [str(d) for d in range(1, channels + 1) if channels % d == 0]
            raise ValueError(f"k is {k}, but it must divide channels ({channels}): use {listed(divisors)}")
        return k


class TrainedNetwork(Group):
    """The network that will be trained with the cell that a search finds."""

    changeable = frozenset({"network_channels", "network_cells", "network_image_size"})

    network_channels: Channels | None = setting(
        None,
        "channels of the network that will be trained, which is counted, and which a budget is about "
        "(none: those of the training recipe)",
    )
    network_cells: NumCells | None = setting(
        None, "cells of the network that will be trained (none: those of the training recipe)"
    )
    network_image_size: Count | None = setting(
        None, "side of the images that it will be trained on (none: as in the search)"
    )


class Budget(Group):
    """What the network that will be trained may cost."""

    changeable = frozenset({"max_mult_adds", "max_params", "max_skips", "max_latency", "latency_table"})

    max_mult_adds: Amount | None = setting(
        None,
        "mult-adds of the network that will be trained (--network-channels, --network-cells), at most: 50M "
        "or the like; 600M in the paper's mobile setting",
    )
    max_params: Amount | None = setting(
        None, "parameters of the network that will be trained, at most, such as 5.3M or 300k"
    )
    max_skips: NaturalNumber | None = setting(None, "largest number of skip-connections in the normal cell")
    max_latency: Positive | None = setting(
        None, "predicted milliseconds of that network for one image, at most, through onnxruntime on the CPU"
    )
    latency_table: Path | None = setting(
        None,
        "table of latencies for the prediction, which `pcdarts latency` makes, on another device too (none: one of "
        "this machine, measured in a minute when it is first needed and kept)",
    )


class OfWeightsFile(Group):
    """What a file of weights of other scripts does not say of its network."""

    genotype: str | None = setting(
        None, "cell of a file of weights, as `pcdarts train --genotype` takes it", min_length=1
    )
    channels: Channels | None = setting(None, "initial channels of a file of weights (none: those of its tensors)")
    num_cells: NumCells | None = setting(None, "cells of a file of weights (none: those of its tensors)")
    kind: NetworkKind | None = setting(
        None, "stem of a file of weights (none: that of its tensors, which do not tell stride2 from cifar)"
    )
    classes: str | None = setting(
        None,
        "names of the classes of a file of weights, in the order of its logits: separated by commas, or a "
        "text file with one on each line (none: of the data, CIFAR-10's, or numbers)",
        min_length=1,
    )


class OfWeightsFileAndImages(OfWeightsFile):
    """The same where no data is at hand, which would say how large its images are."""

    image_size: Count | None = setting(
        None, "side of the images for a file of weights (none: 32, or 224 with that stem)"
    )


class CellOrStock(Group):
    """What is trained: the network of a genotype, or one of torchvision or timm."""

    genotype: str = setting(
        "latest",
        "'latest' (the last search under runs/), a run folder (RUN:EPOCH), a JSON or text file, a log "
        "(LOG:EPOCH), a genotypes.py (FILE:NAME), a published name, or random:SEED[:NODES or :nasbench201]",
        min_length=1,
        after="recipe",
    )
    init: Path | None = setting(
        None,
        "weights to begin with: a train run, finished or not, an export, or a file of the authors' scripts "
        "with its --genotype; cell, kind, channels and cells are taken too (none: random weights)",
    )
    stock: str | None = setting(
        None,
        "train this network in place of one of cells: of torchvision, such as mobilenet_v3_small or "
        "shufflenet_v2_x0_5, or timm/NAME",
        min_length=1,
    )
    stock_width: Width | None = setting(
        None, "factor of all its channels, of mobilenet_v2, mobilenet_v3, shufflenet_v2 and mnasnet (none: its own)"
    )
    pretrained: bool = setting(False, "begin with its weights learnt on ImageNet, from the cache of its library")
    pretrained_file: Path | None = setting(None, "begin with the weights in this file, which fit it")

    @field_validator("stock")
    @classmethod
    def _it_is_this_or_a_cell(cls, stock: str | None, info: ValidationInfo) -> str | None:
        usual = {"genotype": ("latest", NO_GENOTYPE), "init": (None,)}
        given = [name for name, values in usual.items() if info.data.get(name, values[0]) not in values]
        if stock is not None and given:
            raise ValueError(f"stock is {shown(stock)}, but {listed(given, 'and')} would be of cells: drop one of them")
        return stock

    @field_validator("stock_width", "pretrained", "pretrained_file")
    @classmethod
    def _it_goes_with_a_stock_network(cls, value: object, info: ValidationInfo) -> object:
        if value and not info.data.get("stock") and "stock" in info.data:
            raise ValueError(f"{info.field_name} goes with stock, the name of a network: name one, or drop it")
        if value and info.field_name != "stock_width" and info.data.get("stock_width") is not None:
            raise ValueError(f"{info.field_name} goes with the network's own width: drop stock_width")
        return value

    @property
    def is_pretrained(self) -> bool:
        """Whether a stock network begins with weights learnt on ImageNet."""
        return self.pretrained or self.pretrained_file is not None
