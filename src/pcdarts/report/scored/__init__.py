"""The sections of a report about how good cells are: predicted by a table of cells, or looked up in the truth."""
