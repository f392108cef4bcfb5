"""What every network computes with: depthwise convolution, pooling, precision, batch statistics, `torch.compile`."""
