"""Training a classifier: the plan of folds and seeds, one fold, the run folder."""
