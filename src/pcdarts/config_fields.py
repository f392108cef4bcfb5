"""The settings that several jobs share, once each: name, type, limits and help."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pcdarts.cell.space import NetworkKind

DataName = Literal["fashion-mini", "fashion-mnist", "cifar10", "cifar100", "folder"]

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

Recipe = Annotated[str | None, Field(description="published setting that every other field starts from")]
Data = Annotated[DataName, Field(description="data set; 'folder' is any folder of class folders, given by data_root")]
DataRoot = Annotated[Path | None, Field(description="folder of the data set (none: the data set's own default)")]
ImageSize = Annotated[
    Count | None, Field(description="side of the images in pixels, resized to it (none: as they are)")
]
TrainImages = Annotated[
    Count | None, Field(description="keep so many training images at most, as many per class (none: all)")
]
Kind = Annotated[NetworkKind, Field(description="stem: 'cifar' keeps the resolution, 'imagenet' reduces it eightfold")]
Nodes = Annotated[int, Field(ge=3, le=102, description="nodes N of a cell, its two inputs included")]
K = Annotated[Count, Field(description="1/K of the channels go through the operations, the others bypass them (Eq. 1)")]
Channels = Annotated[int, Field(ge=1, le=4096, description="initial number of channels")]
NumCells = Annotated[
    int, Field(ge=3, le=1000, description="number of cells L; those at 1/3 and 2/3 of the depth reduce")
]
Epochs = Annotated[Count, Field(description="passes over the training images")]
BatchSize = Annotated[Count, Field(description="images per step")]
LearningRate = Annotated[Positive, Field(description="initial learning rate of momentum SGD, annealed by a cosine")]
LearningRateMin = Annotated[NotNegative, Field(description="learning rate that the cosine schedule ends with")]
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
