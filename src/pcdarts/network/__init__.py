"""Evaluation networks: the network of a genotype, its cost, and its files of weights."""
