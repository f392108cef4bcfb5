"""A yardstick for cells: a table of cells with known accuracy, and a regressor for those that it does not list."""
