"""Scores of cells: a table of cells with known accuracy, and a regressor fitted on it for all other cells."""
