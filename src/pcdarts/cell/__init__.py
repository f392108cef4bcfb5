"""What is searched: the space of cells, genotypes in every form, derivation, budgets and drawings."""
