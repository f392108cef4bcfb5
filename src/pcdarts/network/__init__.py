"""What a genotype becomes: the network that is trained, its size, and its files of weights."""
