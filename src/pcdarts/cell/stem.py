"""What stands around the cells, and what a network asks of its images; the same when searching and afterwards."""

from torch import Tensor, nn

from pcdarts.cell.primitives import ReluConvBN, nor_conv
from pcdarts.cell.space import CellPlan, Macro, NetworkKind, reduction_positions, stem_stride
from pcdarts.errors import InputError, wrong_type


class SingleStem(nn.Sequential):
    """3x3 convolutions with BatchNorm, of which both inputs of the first cell are the output.

    `[B, image_channels, H, W]` to two times `[B, channels, H/s, W/s]` (ceiled), where s is `stride`: a single
    convolution for 1, as for CIFAR, and for 2; for 4 two of stride 2 with a ReLU between, of which the first makes half
    as many channels (rounded up), as in the stem for ImageNet.
    """

    def __init__(self, channels: int, image_channels: int, stride: int) -> None:
        layers: list[nn.Module] = []
        if stride == 4:
            half = -(-channels // 2)
            layers = [*_conv_norm(image_channels, half, 2), nn.ReLU(inplace=True)]
            image_channels, stride = half, 2
        super().__init__(*layers, *_conv_norm(image_channels, channels, stride))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images
        for layer in self:
            x = layer(x)
        return x, x


def _conv_norm(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs)


class ImageNetStem(nn.Module):
    """Three 3x3 convolutions of stride 2 (Sec. 4.3): 224 x 224 images reach the cells as 28 x 28 maps.

    `[B, image_channels, H, W]` to `[B, C, H/4, W/4]` and `[B, C, H/8, W/8]` (ceiled), where C is `channels`;
    the first convolution makes half as many.

    Raises:
        InputError: an odd number of channels.
    """

    def __init__(self, channels: int, image_channels: int) -> None:
        super().__init__()
        if channels % 2:
            raise InputError(
                f"the ImageNet stem makes {channels} channels and starts with half of them: use an even number of "
                "channels"
            )
        half = channels // 2
        self.quarter = nn.Sequential(
            *_conv_norm(image_channels, half, 2), nn.ReLU(inplace=True), *_conv_norm(half, channels, 2)
        )
        self.eighth = nn.Sequential(nn.ReLU(), *_conv_norm(channels, channels, 2))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        before_last = self.quarter(images)
        return before_last, self.eighth(before_last)


def make_stem(kind: NetworkKind, channels: int, image_channels: int) -> SingleStem | ImageNetStem:
    """The stem of a network of `kind`, with `channels` channels in both outputs.

    Raises:
        InputError: there is no such kind, or not with so many channels.
    """
    if kind == "imagenet":
        return ImageNetStem(channels, image_channels)
    return SingleStem(channels, image_channels, stem_stride(kind))


class ResidualBlock(nn.Module):
    """Between the stages of NAS-Bench-201: `[B, in_channels, H, W]` to `[B, out_channels, H/2, W/2]`, ceiled.

    Two times ReLU, 3x3 convolution and BatchNorm, and beside them 2x2 average pooling and a 1x1 convolution. Of an odd
    last row or column the pooling sees what there is.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nor_conv(in_channels, 3, stride=2, affine=True, out_channels=out_channels)
        self.second = nor_conv(out_channels, 3, stride=1, affine=True)
        self.pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        sum_: Tensor = self.shortcut(self.pool(x)) + self.second(self.first(x))
        return sum_


def make_preprocess1(macro: Macro, plan: CellPlan, affine: bool) -> nn.Module:
    """What a cell reads the last cell's output through; in NAS-Bench-201 nothing, or a residual block.

    `affine` says whether the BatchNorm of a cell of the DARTS papers learns; those of a residual block do.
    """
    in_channels, channels = plan.in_channels[1], plan.channels
    if macro == "darts":
        return ReluConvBN(in_channels, channels, affine=affine)
    return ResidualBlock(in_channels, channels) if plan.after_block else nn.Identity()


def make_closing(macro: Macro, channels: int) -> nn.Module:
    """What the last map goes through before it is averaged: in NAS-Bench-201 BatchNorm and ReLU, else nothing."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if macro == "nasbench201" else nn.Identity()


def smallest_image_side(kind: NetworkKind, num_cells: int) -> int:
    """The smallest height and width, in pixels, of which every halving of the network has at least two to halve.

    Raises:
        InputError: there is no such kind.
    """
    return stem_stride(kind) << len(reduction_positions(num_cells))


def check_images(images: Tensor, image_channels: int, smallest_side: int) -> None:
    """Refuse what is not a batch of images `[B, image_channels, H, W]` with H and W of `smallest_side` or more.

    Raises:
        InputError: another number of axes or channels, no images, integers, or images that are too small.
    """
    if not isinstance(images, Tensor):
        raise wrong_type("images", images, "a tensor [batch, channels, height, width]", "give torch.stack(images)")
    shape = list(images.shape)
    if len(shape) != 4:
        raise InputError(f"images have the shape {shape}, expected [batch, channels, height, width]")
    if shape[0] == 0:
        raise InputError("the batch holds no images, but a network needs 1 or more")
    if not images.is_floating_point():
        raise InputError(f"images are of type {images.dtype}, expected normalised floating-point numbers")
    if shape[1] != image_channels:
        raise InputError(
            f"images have {shape[1]} channels, but the network was made for {image_channels}: "
            f"make it with image_channels={shape[1]}"
        )
    if min(shape[2:]) < smallest_side:
        raise InputError(
            f"images of {shape[2]} x {shape[3]} pixels are too small for the network: "
            f"use {smallest_side} x {smallest_side} or larger"
        )
