"""What a trained classifier can do, as a page to read."""
