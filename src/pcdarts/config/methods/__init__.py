"""What search methods can be told, and their recipes."""
