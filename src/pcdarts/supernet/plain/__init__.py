"""The supernet with PyTorch alone, computed per source node with explicit gradients."""
