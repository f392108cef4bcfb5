"""What the jobs that learn share: their batches, one step, splits, kernels, and measuring a step or an error."""
