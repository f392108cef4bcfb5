"""Studies: grids of methods, settings and seeds, each cell a search followed by a training (Sec. 4.4)."""
