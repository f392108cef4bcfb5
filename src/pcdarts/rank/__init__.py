"""How well what a search knows of cells ranks them: its scores of random cells beside their true accuracy."""
