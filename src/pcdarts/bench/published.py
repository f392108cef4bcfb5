"""Tables 1, 2 and 5 of the paper, as far as they count networks, and which network of ours or of a library is meant."""

from dataclasses import dataclass
from functools import partial

from pcdarts.cell.space import NetworkKind


@dataclass(frozen=True)
class Row:
    """A network of a table; the paper's figures stand as they are printed."""

    name: str
    params: str | None = None
    """In millions."""
    mult_adds: str | None = None
    """In millions, or with their own unit."""
    cell: str | None = None
    """The published cell (`cell/zoo.py`) whose evaluation network is counted."""
    model: str | None = None
    """What else is counted: a name that `bench/counting.py::library_model` knows."""
    note: str = ""
    """What is counted; where nothing is, why."""
    recipe: str | None = None
    """The recipe of the row's search, and flags; it is printed where there is such a recipe."""
    job: str = "search"
    """That searches by it."""
    detector: str | None = None
    """Of a detector that can be trained here, the flags that say which it is."""
    in_paper: bool = True


@dataclass(frozen=True)
class PaperTable:
    title: str
    kind: NetworkKind
    """The evaluation network that its cells make."""
    rows: tuple[Row, ...]


SSDLITE = "ssdlite "
"""What the models begin with that are SSDLite on the stock network of this name."""
_OTHER_NETWORK = "its cell, in the network of DARTS"
_ONLY_DRAWN = "drawn in its paper alone; found in no code"
_evolved = partial(Row, note=_OTHER_NETWORK, recipe="amoebanet", job="random search")


def _ssdlite(name: str, mult_adds: str, backbone: str) -> Row:
    """SSDLite on a stock network, as `pcdarts detect train` makes it."""
    return Row(
        name,
        None,
        mult_adds,
        model=f"{SSDLITE}{backbone}",
        note=f"torchvision's parts, {backbone}, 80 classes",
        detector=f"--backbone {backbone}",
    )


TABLES = {
    "1": PaperTable(
        "Table 1: CIFAR-10 (cells: 20 cells of 36 channels, 32x32)",
        "cifar",
        (
            Row("DenseNet-BC", "25.6", model="densenet_bc_190_40", note="torchvision: L=190, k=40, ImageNet's stem"),
            Row("NASNet-A", "3.3", cell="nasnet_a", note=_OTHER_NETWORK),
            _evolved("AmoebaNet-A", "3.2", cell="amoebanet_a"),
            _evolved("AmoebaNet-B", "2.8", cell="amoebanet_b"),
            Row("Hierarchical Evolution", "15.7", note=_ONLY_DRAWN),
            Row("PNAS", "3.2", cell="pnasnet_5", note=_OTHER_NETWORK, recipe="pnas"),
            Row("ENAS", "4.6", cell="enas", note=_OTHER_NETWORK, recipe="enas"),
            Row("NAONet-WS", "3.1", cell="naonet_ws", note=_OTHER_NETWORK, recipe="nao"),
            Row("DARTS (1st order)", "3.3", cell="darts_v1", recipe="darts-v1"),
            Row("DARTS (2nd order)", "3.3", cell="darts_v2", recipe="darts-v2"),
            Row("SNAS (mild)", "2.9", cell="snas_mild", recipe="snas-mild"),
            Row("SNAS (moderate)", "2.8", cell="snas_moderate", recipe="snas-moderate"),
            Row("SNAS (aggressive)", "2.3", cell="snas_aggressive", recipe="snas-aggressive"),
            Row("ProxylessNAS", note="in neither torchvision nor timm", recipe="proxyless"),
            Row("P-DARTS", "3.4", cell="p_darts", recipe="p-darts"),
            Row("BayesNAS", "3.4", cell="bayesnas_cifar10", note=_OTHER_NETWORK, recipe="bayesnas"),
            Row("PC-DARTS", "3.6", cell="pc_darts_cifar10", recipe="cifar10"),
        ),
    ),
    "2": PaperTable(
        "Table 2: ImageNet, mobile setting (cells: 14 cells of 48 channels, 224x224)",
        "imagenet",
        (
            Row("Inception-v1", "6.6", "1448", model="googlenet", note="torchvision"),
            Row("MobileNet", "4.2", "569", model="mobilenetv1_100", note="timm"),
            Row("MobileNet v2", model="mobilenet_v2", note="torchvision; not in the paper", in_paper=False),
            Row("ShuffleNet 2x (v1)", "~5", "524", note="in neither torchvision nor timm"),
            Row("ShuffleNet 2x (v2)", "~5", "591", model="shufflenet_v2_x2_0", note="torchvision"),
            Row("NASNet-A", "5.3", "564", cell="nasnet_a", note=_OTHER_NETWORK),
            Row("NASNet-B", "5.3", "488", note=_ONLY_DRAWN),
            Row("NASNet-C", "4.9", "558", note=_ONLY_DRAWN),
            _evolved("AmoebaNet-A", "5.1", "555", cell="amoebanet_a"),
            _evolved("AmoebaNet-B", "5.3", "555", cell="amoebanet_b"),
            _evolved("AmoebaNet-C", "6.4", "570", cell="amoebanet_c"),
            Row("PNAS", "5.1", "588", cell="pnasnet_5", note=_OTHER_NETWORK, recipe="pnas"),
            Row("MnasNet-92", "4.4", "388", model="mnasnet1_0", note="torchvision: MnasNet 1.0"),
            Row("DARTS (2nd order)", "4.7", "574", cell="darts_v2", recipe="darts-v2"),
            Row("SNAS (mild)", "4.3", "522", cell="snas_mild", note=_OTHER_NETWORK, recipe="snas-mild"),
            Row("ProxylessNAS (GPU)", "7.1", "465", note="in neither torchvision nor timm", recipe="proxyless"),
            Row("P-DARTS (CIFAR10)", "4.9", "557", cell="p_darts", recipe="p-darts"),
            Row("P-DARTS (CIFAR100)", "5.1", "577", note=_ONLY_DRAWN, recipe="p-darts --data cifar100"),
            Row("BayesNAS", "3.9", cell="bayesnas_imagenet", note=_OTHER_NETWORK, recipe="bayesnas"),
            Row("PC-DARTS (CIFAR10)", "5.3", "586", cell="pc_darts_cifar10", recipe="cifar10"),
            Row("PC-DARTS (ImageNet)", "5.3", "597", cell="pc_darts_imagenet", recipe="imagenet"),
        ),
    ),
    "5": PaperTable(
        "Table 5: detection on MS-COCO",
        "imagenet",
        (
            Row("SSD300, VGG-16", None, "35.2B", model="ssd300_vgg16", note="torchvision, 91 classes"),
            Row("SSD512, VGG-16", None, "99.5B", model="ssd512_vgg16", note="torchvision's parts, 91 classes"),
            Row("YOLOV2, Darknet-19", None, "17.5B", note="in neither torchvision nor timm"),
            Row("Pelee, PeleeNet", None, "1.3B", note="in neither torchvision nor timm"),
            _ssdlite("SSDLiteV1, MobileNetV1", "1.3B", "timm/mobilenetv1_100"),
            _ssdlite("SSDLiteV2, MobileNetV2", "0.8B", "timm/mobilenetv2_100"),
            _ssdlite("SSDLiteV3, MnasNet-A1", "0.8B", "timm/semnasnet_100"),
            Row(
                "SSDLite, MobileNetV3-Large",
                model="ssdlite320_mobilenet_v3_large",
                note="torchvision; not in the paper",
                in_paper=False,
            ),
            Row(
                "PC-DARTS with SSD, 320x320",
                None,
                "1.2B",
                model="pc_darts_ssd",
                note="our detector, 80 classes",
                detector="--genotype pc_darts_imagenet",
            ),
        ),
    ),
}
