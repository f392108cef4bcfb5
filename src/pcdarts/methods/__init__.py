"""Search methods, a file for each paper: how mixtures are drawn and learnt, and how a genotype is decoded."""
