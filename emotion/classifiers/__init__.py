"""The classifiers: one protocol, one module each."""
