"""Measuring: the supernet beside the per-edge one, the cost of a search here, and the counts of the paper's tables."""
