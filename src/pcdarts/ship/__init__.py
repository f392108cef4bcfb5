"""Networks for others: exported files and their model card, and the Hugging Face Hub."""
