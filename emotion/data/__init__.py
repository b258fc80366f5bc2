"""Prepared corpora: from recordings to examples, their normalisation, and splits by speaker."""
