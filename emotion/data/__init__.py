"""Prepared corpora: from recordings to examples, splits and batches."""
