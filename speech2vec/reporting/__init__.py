"""What a run has learned, as a page to read."""
