"""What `pcdarts fit` would know of a folder, made up."""

from pcdarts.own_images.rules import Facts

CIFAR = Facts(
    classes=tuple("abcdefghij"),
    train=(300,) * 10,
    test=(100,) * 10,
    validation=(),
    validation_fraction=0.0,
    sides=(32, 32, 32),
    square=True,
    image_channels=3,
    decode_seconds=0.0001,
)
"""3,000 training images of 32x32 pixels."""
