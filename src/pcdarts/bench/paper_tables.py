"""`pcdarts tables`: what can be known of Tables 1, 2 and 5 without training, beside the paper's figures."""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pcdarts.bench.published import TABLES, PaperTable, Row
from pcdarts.cell.primitives import FactorizedReduce, ReluFirst
from pcdarts.cell.zoo import published
from pcdarts.config.bench_config import TablesConfig
from pcdarts.detect.detector import Detector, detector_complexity
from pcdarts.errors import InputError
from pcdarts.extras import import_extra
from pcdarts.jobs.outcome.evaluation import EVALUATION_NETWORKS
from pcdarts.network.complexity import Complexity, complexity
from pcdarts.network.network import Network
from pcdarts.run.display.columns import console, make_table
from pcdarts.run.whole_files import refuse_existing, write_text

CONVENTION = (
    "paper: as printed there; counted: here, of inference on one image; -: the paper gives none, or nothing here holds "
    "the network.",
    "Counted mult-adds are those of convolutions and linear layers. BatchNorm, ReLU, pooling and additions do not "
    "count, nor do auxiliary heads.",
    "+ norms: the same, and two operations for each output of a BatchNorm and one for each of a ReLU, one ReLU per "
    "operation as in the authors' code: that gives the paper's 586 M and 597 M for the PC-DARTS cells.",
)


def run_tables(config: TablesConfig) -> None:
    """Print the tables, and write all figures to a file when one is given. No weights are loaded.

    Raises:
        InputError: the file is there already.
        RunError: it cannot be saved.
    """
    refuse_existing("--json", config.json_file)
    wanted = [number for number in TABLES if config.table in ("all", number)]
    figures = {number: [described(row, TABLES[number]) for row in TABLES[number].rows] for number in wanted}
    for number in wanted:
        _print_table(TABLES[number], figures[number])
    for line in CONVENTION:
        print(line)
    if config.json_file is not None:
        write_text(config.json_file, json.dumps(figures, indent=2) + "\n")
        print(f"all figures are in {config.json_file}")


def described(row: Row, table: PaperTable) -> dict[str, Any]:
    """A row as the paper has it and as it is counted; what is not counted is None, and the note says why."""
    counted: Complexity | None = None
    with_norms, note = None, row.note
    if row.cell is not None:
        setting = EVALUATION_NETWORKS[table.kind]
        network = setting.network(published(row.cell))
        counted = complexity(network, setting.input_shape)
        with_norms = counted.mult_adds + norms_and_relus(network, setting.input_shape)
    elif row.model is not None:
        try:
            counted = library_model(row.model)
        except InputError as error:  # a library is missing
            note = str(error)
    else:
        note = "not available here"
    return {
        "name": row.name,
        "in_paper": row.in_paper,
        "paper": {"params": row.params, "mult_adds": row.mult_adds},
        "counted": None if counted is None else asdict(counted) | {"mult_adds_with_norms": with_norms},
        "note": note,
    }


def library_model(name: str) -> Complexity:
    """The size of a network that torchvision, timm or `detect/detector.py` makes, without weights or data.

    Raises:
        InputError: the library is not installed.
    """
    if name == "pc_darts_ssd":
        return detector_complexity(Detector(published("pc_darts_imagenet")))["all"]
    if name == "mobilenetv1_100":
        timm = import_extra("timm", "timm", "MobileNet v1")
        return _imagenet_model(lambda: timm.create_model(name, pretrained=False))
    from torchvision import models  # type: ignore[import-untyped]

    match name:
        case "densenet_bc_190_40":
            options = {"growth_rate": 40, "block_config": (31, 31, 31), "num_init_features": 80, "num_classes": 10}
            return _imagenet_model(lambda: models.DenseNet(**options), side=32)
        case "googlenet":
            return _imagenet_model(lambda: models.googlenet(weights=None, aux_logits=False, init_weights=False))
        case "ssd300_vgg16" | "ssdlite320_mobilenet_v3_large":
            side = 300 if name == "ssd300_vgg16" else 320
            with torch.device("meta"):
                detector = getattr(models.detection, name)(weights=None, weights_backbone=None).eval()
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                detector.head(list(detector.backbone(torch.empty(1, 3, side, side, device="meta")).values()))
            return Complexity(sum(p.numel() for p in detector.parameters()), counter.get_total_flops() // 2)
        case _:
            return _imagenet_model(lambda: getattr(models, name)(weights=None))


def norms_and_relus(network: Network, input_shape: tuple[int, int, int]) -> int:
    """Two operations for each output of a BatchNorm and one for each of a ReLU, at one image.

    Our network applies the ReLU with which several operations on one map begin only once; here each counts its own, as
    in the authors' code.
    """
    total = 0

    def counting(weight: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def add(_: nn.Module, __: Any, output: Tensor) -> None:
            nonlocal total
            total += weight * output.numel()

        return add

    def rectified(after_relu: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def counted(x: Tensor) -> Tensor:
            nonlocal total
            total += x.numel()
            return after_relu(x)

        return counted

    skeleton = copy.deepcopy(network).to("meta").eval()
    for module in skeleton.modules():
        if isinstance(module, nn.BatchNorm2d | nn.ReLU):
            module.register_forward_hook(counting(2 if isinstance(module, nn.BatchNorm2d) else 1))
        if isinstance(module, ReluFirst | FactorizedReduce):
            module.after_relu = rectified(module.after_relu)  # type: ignore[method-assign,assignment]
    with torch.no_grad():
        skeleton(torch.empty(1, *input_shape, device="meta"))
    return total


def _imagenet_model(make: Callable[[], nn.Module], side: int = 224) -> Complexity:
    with torch.device("meta"):
        model = make()
    return complexity(model, (3, side, side))


def _print_table(table: PaperTable, rows: list[dict[str, Any]]) -> None:
    printed = make_table("", "params: paper", "counted", "mult-adds: paper", "counted", "+ norms")
    printed.add_column("")
    for row in rows:
        counted = row["counted"] or {}
        params, mult_adds, with_norms = (counted.get(name) for name in ("params", "mult_adds", "mult_adds_with_norms"))
        printed.add_row(
            row["name"],
            _in_paper(row["paper"]["params"]),
            "-" if params is None else f"{params / 1e6:.3f} M",
            _in_paper(row["paper"]["mult_adds"]),
            _operations(mult_adds),
            _operations(with_norms),
            row["note"],
        )
    print(table.title)
    console().print(printed)


def _in_paper(figure: str | None) -> str:
    if figure is None:
        return "-"
    return figure.replace("B", " B") if figure.endswith("B") else f"{figure} M"


def _operations(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 1e9:.2f} B" if count >= 10**10 else f"{count / 1e6:.1f} M"
