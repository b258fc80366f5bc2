"""Word vectors: read and written, averaged over instances, beside text baselines."""
