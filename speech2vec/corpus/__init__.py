"""Recordings and their transcripts: corpus folders, audio, pronunciations, downloads."""
