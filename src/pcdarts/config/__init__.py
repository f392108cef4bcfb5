"""What each job can be told: settings, recipes, YAML files and flags. Nothing here imports torch or rich."""
