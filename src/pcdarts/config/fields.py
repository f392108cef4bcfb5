"""The settings that several jobs share, once each: name, type, limits and help."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pcdarts.cell.space import NetworkKind

DataName = Literal["fashion-mini", "fashion-mnist", "cifar10", "cifar100", "folder", "imagenet", "huggingface"]


def _counted(value: Any) -> Any:
    """What people write for large numbers, `600M`, `1.2B` or `300k`, as a number."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)([kmb])", str(value).strip().lower())
    if match is None:
        return value
    amount = Decimal(match[1]) * 10 ** {"k": 3, "m": 6, "b": 9}[match[2]]
    return int(amount) if amount == int(amount) else value


Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Amount = Annotated[int, BeforeValidator(_counted), Field(ge=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

Recipe = Annotated[str | None, Field(description="published setting that every other field starts from")]
Data = Annotated[
    DataName,
    Field(description="data set; 'folder': class folders below data_root, 'huggingface': a data set called hub_name"),
]
DataRoot = Annotated[Path | None, Field(description="folder of the data set (none: the data set's own default)")]
HubName = Annotated[
    str | None, Field(min_length=1, description="data set of the Hugging Face hub, or a folder that `datasets` reads")
]
TrainSet = Annotated[
    str | None,
    Field(
        min_length=1,
        description="folder below data_root, or split of hub_name, that is the training set (none: found by its name)",
    ),
]
TestSet = Annotated[
    str | None,
    Field(
        min_length=1,
        description="the same for the test set (none: found by its name; without one a fifth of each class)",
    ),
]
ImageSize = Annotated[
    Count | None, Field(description="side of the images in pixels, resized to it (none: as they are)")
]
PixelRange = Annotated[
    tuple[float, float] | None,
    Field(
        description="values that are black and white in images of more than 8 bits (none: found over the training "
        "images); images of 8 bits stay as they are"
    ),
]
TrainImages = Annotated[
    Count | None, Field(description="keep so many training images at most, as many per class (none: all)")
]
Loading = Annotated[
    Literal["auto", "resident", "streaming"],
    Field(description="images in files: keep them in memory, decode those of each batch, or the latter above 2 GB"),
]
Workers = Annotated[
    Annotated[int, Field(ge=0, le=1024)] | None,
    Field(description="processes that decode streamed images (none: as many as cores and device suggest; 0: this one)"),
]
Crop = Annotated[
    Literal["padded", "resized"],
    Field(description="random crops: of padded images (CIFAR), or of any part of a photograph, resized (ImageNet)"),
]
ColorJitter = Annotated[
    float,
    Field(ge=0, le=1, description="random brightness, contrast and saturation, and half as much hue (crop resized)"),
]
Kind = Annotated[
    NetworkKind,
    Field(
        description="stem: 'cifar' keeps the resolution (images of up to 32 pixels), 'stride2' halves it (up to 64), "
        "'stride4' quarters it (up to 128), 'imagenet' reduces it eightfold (larger ones, such as 224); smaller maps "
        "cost less, and `pcdarts search --plan` says how much"
    ),
]
Nodes = Annotated[int, Field(ge=3, le=102, description="nodes N of a cell, its two inputs included")]
K = Annotated[Count, Field(description="1/K of the channels go through the operations, the others bypass them (Eq. 1)")]
Channels = Annotated[int, Field(ge=1, le=4096, description="initial number of channels")]
NumCells = Annotated[
    int, Field(ge=3, le=1000, description="number of cells L; those at 1/3 and 2/3 of the depth reduce")
]
NetworkChannels = Annotated[
    Channels | None,
    Field(
        description="channels of the network that will be trained, which is counted, and which a budget is about "
        "(none: those of the training recipe)"
    ),
]
NetworkCells = Annotated[
    NumCells | None, Field(description="cells of the network that will be trained (none: those of the training recipe)")
]
NetworkImageSize = Annotated[
    Count | None, Field(description="side of the images that it will be trained on (none: as in the search)")
]
OfFileGenotype = Annotated[
    str | None, Field(min_length=1, description="cell of a file of weights, as `pcdarts train --genotype` takes it")
]
OfFileChannels = Annotated[
    Channels | None, Field(description="initial channels of a file of weights (none: those of its tensors)")
]
OfFileCells = Annotated[NumCells | None, Field(description="cells of a file of weights (none: those of its tensors)")]
OfFileKind = Annotated[
    NetworkKind | None,
    Field(description="stem of a file of weights (none: that of its tensors, which do not tell stride2 from cifar)"),
]
OfFileClasses = Annotated[
    str | None,
    Field(
        min_length=1,
        description="names of the classes of a file of weights, in the order of its logits: separated by commas, or a "
        "text file with one on each line (none: of the data, CIFAR-10's, or numbers)",
    ),
]
OfFileImageSize = Annotated[
    Count | None, Field(description="side of the images for a file of weights (none: 32, or 224 with that stem)")
]
Epochs = Annotated[Count, Field(description="passes over the training images")]
BatchSize = Annotated[Count, Field(description="images per step")]
LearningRate = Annotated[Positive, Field(description="initial learning rate of momentum SGD, annealed")]
LearningRateMin = Annotated[NotNegative, Field(description="learning rate that the schedule ends with")]
LearningRateSchedule = Annotated[Literal["cosine", "linear"], Field(description="how the learning rate falls")]
LrWarmupEpochs = Annotated[
    int, Field(ge=0, description="first epochs, in which the learning rate rises in equal steps to its initial value")
]
Momentum = Annotated[Probability, Field(description="momentum of SGD")]
WeightDecay = Annotated[NotNegative, Field(description="weight decay of the network weights")]
GradientClip = Annotated[Positive, Field(description="largest norm of the gradient of the network weights")]
CropPadding = Annotated[int, Field(ge=0, description="pixels of padding before a random crop (0: no crop)")]
Flip = Annotated[bool, Field(description="mirror training images at random")]
Cutout = Annotated[int, Field(ge=0, description="side of the square cut out of training images, in pixels (0: off)")]
Seed = Annotated[int, Field(ge=0, lt=2**63, description="seed of every random stream")]
Device = Annotated[str, Field(description="auto, cpu, cuda or cuda:N; auto takes the GPU if there is one")]
Threads = Annotated[Count | None, Field(description="CPU threads (none: as many as PyTorch likes)")]
Amp = Annotated[
    Literal["off", "bf16", "fp16"],
    Field(description="learn in mixed precision: convolutions in 16 bits, weights, alpha, beta and losses in 32"),
]
AccumulationSteps = Annotated[
    Count,
    Field(description="parts of a batch computed one after the other, for less memory; BatchNorm sees a part alone"),
]
SynchronizeBatchNorm = Annotated[
    bool, Field(description="BatchNorm over the images of all processes (no: of each process alone, as in the paper)")
]
MaxMultAdds = Annotated[
    Amount | None,
    Field(
        description="mult-adds of the network that will be trained (--network-channels, --network-cells), at most: 50M "
        "or the like; 600M in the paper's mobile setting"
    ),
]
MaxParams = Annotated[
    Amount | None, Field(description="parameters of the network that will be trained, at most, such as 5.3M or 300k")
]
MaxSkips = Annotated[
    Annotated[int, Field(ge=0)] | None, Field(description="skip-connections in the normal cell, at most")
]
Compile = Annotated[
    bool, Field(description="compile what torch.compile makes something of: takes minutes, and seldom pays on a CPU")
]
Deterministic = Annotated[bool, Field(description="only algorithms that give the same bits every time, also on a GPU")]
CheckpointMinutes = Annotated[
    Positive | None, Field(description="save a checkpoint so often, and after every epoch (none: only then)")
]
MaxSkippedBatches = Annotated[
    int,
    Field(ge=0, description="skip a batch whose loss or gradient is not finite, so often at most (0: stop at once)"),
]
OnBadImage = Annotated[Literal["stop", "skip"], Field(description="what to do about an image file that cannot be read")]
Track = Annotated[
    Literal["none", "tensorboard", "wandb", "trackio"],
    Field(description="also send the figures of every epoch to TensorBoard, or to a service with wandb's interface"),
]
