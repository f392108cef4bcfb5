"""What every long job needs: run folder, lock, checkpoints, processes, progress and tracking."""
