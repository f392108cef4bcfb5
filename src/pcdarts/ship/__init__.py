"""Trained networks for other programs: exported files with a model card, and the Hugging Face Hub."""
