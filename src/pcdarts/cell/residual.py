"""What stands around the cells of NAS-Bench-201: residual blocks between its stages, and what follows the last cell."""

from torch import Tensor, nn

from pcdarts.cell.primitives import nor_conv


class ResidualBlock(nn.Module):
    """Halve a map and change its channels: `[B, in_channels, H, W]` to `[B, out_channels, H/2, W/2]`, ceiled.

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


def closing(channels: int) -> nn.Sequential:
    """BatchNorm and ReLU behind the last cell, which has none of its own."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
