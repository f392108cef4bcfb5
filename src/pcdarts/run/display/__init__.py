"""What people watch while a job runs: progress on the screen, tables, and trackers."""
