"""Recordings and transcripts: corpus folders, audio, pronunciations, downloads."""
