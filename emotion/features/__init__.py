"""Acoustic features of utterances: 34 short-term features, log-mel energies."""
