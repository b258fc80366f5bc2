"""Acoustic features: the 34 short-term features of pyAudioAnalysis, log-mel energies and level."""
