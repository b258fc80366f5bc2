"""Training: pairs and batches, the training step and loop, held-out loss, checkpoints, the run folder."""
