"""Training: pairs, batches, one step, the loop, checkpoints, the run folder."""
