"""Training: the plan, the training loop, all folds and seeds, the run folder."""
