"""What a search leaves behind: the genotype, also within a budget, its scores, its network, its files and words."""
